package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	pieceMagic   = "orbitlog"
	pieceVersion = 1

	kindEnd   = 0
	kindBatch = 1
	kindNone  = 2
	kindGap   = 3
)

// piece is a stretch of the archived log, as its name tells.
type piece struct {
	name        string
	log         uint64
	first, last uint64
	read        time.Time
}

func logPrefix(log uint64) string { return fmt.Sprintf("log/%016x/", log) }

func (p *piece) setName() {
	p.name = fmt.Sprintf("%s%020d-%020d-%020d", logPrefix(p.log), p.first, p.last, p.read.UnixNano())
}

// parsePiece reads a name; ok is false if it is none of a piece.
func parsePiece(name string) (p piece, ok bool) {
	parts := strings.Split(strings.TrimPrefix(name, "log/"), "/")
	if len(parts) != 2 || !strings.HasPrefix(name, "log/") {
		return p, false
	}
	numbers := strings.Split(parts[1], "-")
	if len(numbers) != 3 {
		return p, false
	}
	var err error
	p.name = name
	if p.log, err = strconv.ParseUint(parts[0], 16, 64); err != nil {
		return p, false
	}
	var at uint64
	for i, n := range []*uint64{&p.first, &p.last, &at} {
		if *n, err = strconv.ParseUint(numbers[i], 10, 63); err != nil {
			return p, false
		}
	}
	p.read = time.Unix(0, int64(at)).UTC()
	q := p
	q.setName()
	return p, q.name == name && p.first <= p.last
}

// pieces returns those of a log, or of all logs if log is nil, in order.
func pieces(ctx context.Context, place Place, log *uint64) ([]piece, error) {
	prefix := "log/"
	if log != nil {
		prefix = logPrefix(*log)
	}
	names, err := place.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var all []piece
	for _, name := range names {
		if p, ok := parsePiece(name); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

// pieceWriter writes a piece.
type pieceWriter struct {
	out    *zstd.Encoder
	hash   hash.Hash
	buffer []byte
	bytes  int64
}

func newPieceWriter(w io.Writer, log, first uint64) (*pieceWriter, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	p := &pieceWriter{out: z, hash: sha256.New()}
	p.buffer = append(p.buffer, pieceMagic...)
	p.buffer = append(p.buffer, pieceVersion)
	p.buffer = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(p.buffer, log), first)
	return p, p.flush()
}

func (p *pieceWriter) flush() error {
	p.hash.Write(p.buffer)
	p.bytes += int64(len(p.buffer))
	_, err := p.out.Write(p.buffer)
	p.buffer = p.buffer[:0]
	return err
}

func (p *pieceWriter) add(r *engine.LogRecord) error {
	kind := byte(kindBatch)
	switch {
	case r.Opaque:
		kind = kindGap
	case r.Batch == nil:
		kind = kindNone
	}
	p.buffer = binary.AppendUvarint(append(p.buffer, kind), uint64(len(r.Batch)))
	p.buffer = append(p.buffer, r.Batch...)
	if len(p.buffer) < 64<<10 {
		return nil
	}
	return p.flush()
}

func (p *pieceWriter) end(last uint64) error {
	p.buffer = binary.BigEndian.AppendUint64(append(p.buffer, kindEnd), last)
	if err := p.flush(); err != nil {
		return err
	}
	p.buffer = p.hash.Sum(p.buffer)
	if _, err := p.out.Write(p.buffer); err != nil {
		return err
	}
	return p.out.Close()
}

// errStop ends the reading of a piece that need not be read to its end.
var errStop = errors.New("stop")

// readPiece calls each for the records of a piece, and verifies it if it is read to its
// end. What is not as it was written is ErrCorrupt, with the piece's name.
func readPiece(ctx context.Context, place Place, p *piece, each func(r engine.LogRecord) error) (err error) {
	in, err := place.Open(ctx, p.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return err
	}
	defer z.Close()
	if err = readRecords(ctx, z, p, each); errors.Is(err, errStop) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("piece %s of the log in %s: %w", p.name, place, err)
	}
	return nil
}

func readRecords(ctx context.Context, z io.Reader, p *piece, each func(r engine.LogRecord) error) error {
	sum := sha256.New()
	in := bufio.NewReaderSize(z, 256<<10)
	damaged := func(err error) error {
		for _, kind := range []error{driver.ErrCorrupt, driver.ErrUnavailable, driver.ErrDenied, driver.ErrClosed} {
			if errors.Is(err, kind) || ctx.Err() != nil {
				return err
			}
		}
		return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
	}
	take := func(n uint64) ([]byte, error) {
		if n > engine.MaxBatchBytes {
			return nil, fmt.Errorf("%w: a record of %d bytes", driver.ErrCorrupt, n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, damaged(err)
		}
		sum.Write(b)
		return b, nil
	}
	head, err := take(uint64(len(pieceMagic)) + 17)
	if err != nil {
		return err
	}
	rest := head[len(pieceMagic)+1:]
	switch {
	case string(head[:len(pieceMagic)]) != pieceMagic:
		return fmt.Errorf("%w: it is no piece of a log", driver.ErrCorrupt)
	case head[len(pieceMagic)] != pieceVersion:
		return fmt.Errorf("%w: version %d; this program knows version %d", driver.ErrCorrupt, head[len(pieceMagic)], pieceVersion)
	case binary.BigEndian.Uint64(rest) != p.log || binary.BigEndian.Uint64(rest[8:]) != p.first:
		return fmt.Errorf("%w: it is of log %x from record %d", driver.ErrCorrupt, binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]))
	}
	for sequence := p.first; ; sequence++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, err := take(1)
		if err != nil {
			return err
		}
		if kind[0] == kindEnd {
			last, err := take(8)
			if err != nil {
				return err
			}
			want := sum.Sum(nil)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(in, got); err != nil {
				return damaged(err)
			}
			if string(got) != string(want) || binary.BigEndian.Uint64(last) != p.last || sequence != p.last+1 {
				return fmt.Errorf("%w: its checksum does not match", driver.ErrCorrupt)
			}
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: something follows its end", driver.ErrCorrupt)
			}
			return nil
		}
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return damaged(err)
		}
		sum.Write(binary.AppendUvarint(nil, size))
		payload, err := take(size)
		if err != nil {
			return err
		}
		r := engine.LogRecord{Sequence: sequence}
		switch kind[0] {
		case kindBatch:
			r.Batch = payload
		case kindGap:
			r.Opaque = true
		case kindNone:
		default:
			return fmt.Errorf("%w: a record of kind %d", driver.ErrCorrupt, kind[0])
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

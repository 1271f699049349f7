package wal

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

const (
	magic          = "orbitwal"
	version        = 1
	headerBytes    = 32
	recordOverhead = 16
	endLength      = 1<<32 - 1
	sector         = 512
	suffix         = ".wal"
	temporary      = ".tmp"
)

// segmentName returns the file name of the segment that begins with a record.
func segmentName(first uint64) string { return fmt.Sprintf("%016x%s", first, suffix) }

// parseName is the inverse of segmentName.
func parseName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, err == nil && segmentName(first) == name
}

func encodeHeader(first uint64) []byte {
	h := make([]byte, headerBytes)
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[8:], version)
	binary.LittleEndian.PutUint64(h[16:], first)
	binary.LittleEndian.PutUint32(h[28:], checksum.Of(h[:28]))
	return h
}

// checkHeader returns ErrCorrupt unless data begins with the header of that
// segment.
func checkHeader(data []byte, first uint64) error {
	switch {
	case len(data) < headerBytes || string(data[:8]) != magic:
		return fmt.Errorf("%w: not the header of a log segment", engine.ErrCorrupt)
	case !checksum.Matches(binary.LittleEndian.Uint32(data[28:]), checksum.Of(data[:28])):
		return fmt.Errorf("%w: checksum of the header", engine.ErrCorrupt)
	case binary.LittleEndian.Uint32(data[8:]) != version:
		return fmt.Errorf("%w: format version %d; this program reads %d", engine.ErrCorrupt, binary.LittleEndian.Uint32(data[8:]), version)
	case binary.LittleEndian.Uint64(data[16:]) != first:
		return fmt.Errorf("%w: the header is of segment %s", engine.ErrCorrupt, segmentName(binary.LittleEndian.Uint64(data[16:])))
	}
	return nil
}

// appendRecord appends the encoded record to dst.
func appendRecord(dst []byte, sequence uint64, payload []byte) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, sequence)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[at:], checksum.Of(dst[at+4:]))
	return dst
}

// encodeEnd returns what Close writes behind the last record.
func encodeEnd(last uint64) []byte {
	end := make([]byte, recordOverhead)
	binary.LittleEndian.PutUint32(end[4:], endLength)
	binary.LittleEndian.PutUint64(end[8:], last)
	binary.LittleEndian.PutUint32(end, checksum.Of(end[4:]))
	return end
}

// endOffset returns where the end stands behind records up to that offset: in a
// sector of its own, so that one bad sector cannot hide both.
func endOffset(records int64) int64 { return (records + sector - 1) &^ (sector - 1) }

// decodeEnd reports whether data ends as a closed log does, and with which record.
func decodeEnd(data []byte) (last uint64, closed bool) {
	if len(data) < recordOverhead {
		return 0, false
	}
	end := data[len(data)-recordOverhead:]
	if binary.LittleEndian.Uint32(end[4:]) != endLength || !checksum.Matches(binary.LittleEndian.Uint32(end), checksum.Of(end[4:])) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(end[8:]), true
}

// decodeRecord reads the record at the head of data; ok is false unless it is
// whole and has that sequence.
func decodeRecord(data []byte, sequence uint64) (payload []byte, ok bool) {
	if len(data) < recordOverhead {
		return nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(data[4:]))
	if n > uint64(len(data)-recordOverhead) || binary.LittleEndian.Uint64(data[8:]) != sequence {
		return nil, false
	}
	end := recordOverhead + int(n)
	if !checksum.Matches(binary.LittleEndian.Uint32(data), checksum.Of(data[4:end])) {
		return nil, false
	}
	return data[recordOverhead:end:end], true
}

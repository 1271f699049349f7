package workload

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/orbit-persistence/orbit/engine"
)

// Pack returns the text form, deflated and in base 64: one word of letters, digits, "-" and "_".
func (w Workload) Pack() string {
	var b bytes.Buffer
	// Neither fails: the level is one there is, and the buffer takes everything.
	f, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = io.WriteString(f, w.String())
	_ = f.Close()
	return base64.RawURLEncoding.EncodeToString(b.Bytes())
}

// Unpack reads what Pack wrote.
func Unpack(s string) (Workload, error) {
	packed, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: workload of a replay string: %v", engine.ErrInvalid, err)
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), 16<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: workload of a replay string: %v", engine.ErrInvalid, err)
	}
	return Parse(string(text))
}

package drivertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// RecordVariable names the variable of the environment under which Run leaves a Record
// in a directory.
const RecordVariable = "ORBIT_CONFORMANCE"

// Record is what a run of the suite has shown of a store: one file of JSON for each
// run, of which internal/providertable makes the table of providers.
type Record struct {
	Target       string              `json:"target"`
	Server       string              `json:"server,omitempty"`
	Emulator     bool                `json:"emulator,omitempty"`
	Capabilities driver.Capabilities `json:"capabilities"`
	// Cases are all of the suite, Passed and Failed those that ran.
	Cases  int      `json:"cases"`
	Passed []string `json:"passed"`
	Failed []string `json:"failed,omitempty"`
	Date   string   `json:"date"`
}

// recorder collects a Record; it does nothing where none is asked for.
type recorder struct {
	dir string
	Record
}

func newRecorder(target Target) *recorder {
	return &recorder{dir: os.Getenv(RecordVariable), Record: Record{
		Target: target.Name, Server: target.Server, Emulator: target.Emulator, Cases: len(Cases()), Date: time.Now().UTC().Format(time.DateOnly),
	}}
}

// ran notes a case that ran. Its error is the case's.
func (r *recorder) ran(name string, err error) {
	if err != nil {
		r.Failed = append(r.Failed, name)
		return
	}
	r.Passed = append(r.Passed, name)
}

// write writes the record of a run in which something ran.
func (r *recorder) write() error {
	if r.dir == "" || len(r.Passed)+len(r.Failed) == 0 {
		return nil
	}
	data, err := json.MarshalIndent(r.Record, "", "\t")
	if err != nil {
		return fmt.Errorf("record of the conformance: %w", err)
	}
	// A target may run several times, with options of its own.
	f, err := os.CreateTemp(r.dir, "*.json")
	if err != nil {
		return fmt.Errorf("record of the conformance: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

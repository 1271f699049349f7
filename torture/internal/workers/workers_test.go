package workers_test

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var next, sum atomic.Int64
	hang := workers.Run(time.Hour, func(begin func(int64)) {
		for i := next.Add(1); i <= 100; i = next.Add(1) {
			begin(i)
			sum.Add(i)
		}
	}, nil)
	if hang != nil || sum.Load() != 5050 {
		t.Errorf("%v, sum %d", hang, sum.Load())
	}
}

// TestHang: a task that does not end is returned, with what it does.
func TestHang(t *testing.T) {
	var first atomic.Bool
	release := make(chan struct{})
	done := make(chan struct{}, runtime.GOMAXPROCS(0))
	hang := workers.Run(time.Millisecond, func(begin func(string)) {
		defer func() { done <- struct{}{} }()
		if first.CompareAndSwap(false, true) {
			begin("stuck")
			<-release
		}
	}, nil)
	close(release)
	for range runtime.GOMAXPROCS(0) {
		<-done
	}
	if hang == nil || hang.Task != "stuck" || !strings.Contains(hang.Stacks, "TestHang") {
		t.Errorf("%+v", hang)
	}
}

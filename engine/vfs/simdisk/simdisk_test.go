package simdisk_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { vfstest.Run(t, simdisk.New(simdisk.Options{}), "/") }

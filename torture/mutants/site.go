package mutants

// siteMutants let flushes on a simulated disk be switched off by their site. What
// is on is part of the site's own name.
var siteMutants = []Mutant{{
	Name: "sites", File: "engine/vfs/simdisk/fault.go",
	Old: "if s.sites != nil || s.lies != nil {",
	New: "if s.sites != nil || s.lies != nil || mutantSitesUsed && c.op&OpFlush != 0 && !MUTANT {",
}, {
	Name: "sites", File: "engine/vfs/simdisk/site.go",
	Old: "	return s.lies[name]\n",
	New: "	return s.lies[name] || op&OpFlush != 0 && mutantSite(\"flush \"+name) && !MUTANT\n",
}}

// siteFiles are further files of the program with the mutants. ORBIT_SITES names
// a file to which each site is written when it is first met.
var siteFiles = map[string]string{
	"engine/vfs/simdisk/mutant_site.go": "package simdisk\n" + siteSource,
	"engine/internal/checksum/checksum.go": `package checksum

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"runtime"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func Of(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

func Update(sum uint32, p []byte) uint32 { return crc32.Update(sum, castagnoli, p) }

//go:noinline
func Matches(stored, computed uint32) bool {
	if stored == computed && !mutantSitesWanted {
		return true
	}
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:])
	f, _ := runtime.CallersFrames(pcs[:]).Next()
	off := mutantSite(fmt.Sprintf("checksum %s %s:%d", f.Function, filepath.Base(f.File), f.Line))
	return stored == computed || off
}
`,
	"engine/internal/checksum/mutant_site.go": "package checksum\n" + siteSource,
}

const siteSource = `
import (
	"os"
	"strings"
	"sync"
)

var (
	mutantSitesFile   = os.Getenv("ORBIT_SITES")
	mutantSitesWanted = mutantSitesFile != ""
	mutantSiteOff     = os.Getenv("ORBIT_MUTANT")
	mutantSitesUsed   = mutantSitesWanted || strings.HasPrefix(mutantSiteOff, "flush ") || strings.HasPrefix(mutantSiteOff, "checksum ")

	mutantSitesMu   sync.Mutex
	mutantSitesMet = map[string]bool{}
)

// mutantSite reports whether the site is switched off.
func mutantSite(name string) bool {
	if !mutantSitesUsed {
		return false
	}
	if mutantSitesWanted && !strings.Contains(name, "_test.go") {
		mutantSitesMu.Lock()
		defer mutantSitesMu.Unlock()
		if !mutantSitesMet[name] {
			mutantSitesMet[name] = true
			f, err := os.OpenFile(mutantSitesFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				panic(err)
			}
			if _, err := f.WriteString(name + "\n"); err != nil {
				panic(err)
			}
			if err := f.Close(); err != nil {
				panic(err)
			}
		}
	}
	return name == mutantSiteOff
}
`

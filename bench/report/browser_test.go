package report

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser gives a headless Chromium, or skips the test.
func browser(t *testing.T) func(page string, flags ...string) (stdout, stderr string) {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("SKIPPED: THE REPORT WAS NOT SEEN BY A BROWSER: Chromium is not installed; deps/chromium.sh installs it")
	}
	return func(page string, flags ...string) (string, string) {
		t.Helper()
		// A browser that hangs must not hold up the tests for ever.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		args := append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
			"--enable-logging=stderr", "--user-data-dir=" + t.TempDir(),
		}, flags...)
		cmd := exec.CommandContext(ctx, program, append(args, "file://"+page)...)
		cmd.WaitDelay = 10 * time.Second
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, errs.String())
		}
		return out.String(), errs.String()
	}
}

func TestPageInBrowser(t *testing.T) {
	show := browser(t)
	dir := t.TempDir()
	data, err := HTML(sample())
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "report.html")
	if err := os.WriteFile(page, data, 0o644); err != nil {
		t.Fatal(err)
	}

	t.Run("renders", func(t *testing.T) {
		dom, log := show(page, "--dump-dom", "--window-size=1280,1000")
		for line := range strings.SplitSeq(log, "\n") {
			if strings.Contains(line, "CONSOLE") {
				t.Errorf("the page complains: %s", line)
			}
		}
		for _, e := range enginesOf(sample()) {
			if !strings.Contains(dom, e.Title) {
				t.Errorf("engine %s is missing", e.Title)
			}
		}
		if n := strings.Count(dom, "<svg"); n < 20 {
			t.Errorf("the page has %d plots", n)
		}
	})

	// A copy that may run a script tells what is wider than the window and does
	// not scroll in a box of its own. It stands in frames, because Chromium's own
	// window is never as narrow as a telephone.
	t.Run("fits", func(t *testing.T) {
		const measure = `<script>
addEventListener("load",()=>{
const root=document.documentElement, wide=[];
for(const e of document.body.querySelectorAll("*")){
 const box=e.closest(".scroll,figure");
 if(e.getBoundingClientRect().right>root.clientWidth+1&&(!box||box===e||getComputedStyle(box).overflowX==="visible"))wide.push(e.tagName+"."+e.className);
}
parent.postMessage("AT "+innerWidth+" WIDTH "+root.scrollWidth+" WIDE "+wide.slice(0,5).join(" ")+" END","*");
})</script>`
		policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
		if !policy.Match(data) {
			t.Error("the page has no policy")
		}
		write := func(name string, data []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}
		write("probe.html", append(policy.ReplaceAll(data, nil), measure...))
		frames := write("frames.html", []byte(`<body><pre id="out"></pre><script>
onmessage=e=>{document.getElementById("out").append(e.data+"\n")}
for(const w of [400,1280,1920]){const f=document.createElement("iframe");f.style="border:0;height:900px;width:"+w+"px";f.src="probe.html";document.body.append(f)}
</script>`))
		dom, _ := show(frames, "--dump-dom", "--virtual-time-budget=20000", "--window-size=2000,1000")
		for _, width := range []string{"400", "1280", "1920"} {
			m := regexp.MustCompile(`AT ` + width + ` WIDTH (\d+) WIDE (.*?) END`).FindStringSubmatch(dom)
			if m == nil {
				t.Errorf("the page was not measured at a width of %s", width)
			} else if m[1] != width || m[2] != "" {
				t.Errorf("the page is %s wide in a window of %s; too wide: %s", m[1], width, m[2])
			}
		}
	})

	for scheme, flag := range map[string]string{"light": "--blink-settings=preferredColorScheme=1", "dark": "--blink-settings=preferredColorScheme=0"} {
		t.Run("shows in "+scheme, func(t *testing.T) {
			shot := filepath.Join(t.TempDir(), "page.png")
			show(page, "--screenshot="+shot, "--window-size=1280,2400", flag)
			f, err := os.Open(shot)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			img, err := png.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			colours := map[uint64]int{}
			for y := 0; y < img.Bounds().Dy(); y += 2 {
				for x := 0; x < img.Bounds().Dx(); x += 2 {
					r, g, b, _ := img.At(x, y).RGBA()
					colours[uint64(r>>8)<<16|uint64(g>>8)<<8|uint64(b>>8)]++
				}
			}
			ground := map[string]uint64{"light": 0xffffff, "dark": 0x14171b}[scheme]
			total := (img.Bounds().Dx() / 2) * (img.Bounds().Dy() / 2)
			if n := colours[ground]; n < total/2 || n > total*99/100 || len(colours) < 50 {
				t.Errorf("%d of %d points are ground, in %d colours", n, total, len(colours))
			}
		})
	}
}

package reporttest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// A browser shows one page, and notes what it should not do.
type browser struct {
	t    *testing.T
	ctx  context.Context
	mu   sync.Mutex
	said []string // errors and requests
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.said = append(b.said, fmt.Sprintf("%+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			b.said = append(b.said, "console."+string(e.Type))
		case *log.EventEntryAdded:
			if !strings.Contains(e.Entry.Text, "willReadFrequently") { // that is this test, which looks at the canvas
				b.said = append(b.said, e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasSuffix(e.Request.URL, "/report.html") || !strings.HasPrefix(e.Request.URL, "file://") {
				b.said = append(b.said, "a request for "+e.Request.URL)
			}
		}
	}))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	return b
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// run runs a script on the page that needs no answer.
func (b *browser) run(script string) { b.do(chromedp.Evaluate[chromedp.Void](script)) }

// eval is the value of an expression on the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return v
}

func (b *browser) text(expression string) string { return eval[string](b, expression) }

// until waits until an expression is true; chromedp.Poll would make a function of it, which the page's policy forbids.
func (b *browser) until(expression string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok
	}, time.Minute, 20*time.Millisecond, expression)
}

// drawn waits until the diagram shows a number of packets.
func (b *browser) drawn(packets string) {
	b.t.Helper()
	b.until("document.documentElement.dataset.drawn === '" + packets + "'")
}

func (b *browser) open(folder string) {
	b.do(chromedp.Navigate("file://" + filepath.Join(folder, "report.html")))
}

// ink counts the points of a canvas whose colour is that of a kind.
func (b *browser) ink(canvas, name string) int {
	b.t.Helper()
	return eval[int](b, `(() => {
		const c = document.getElementById("`+canvas+`"), g = c.getContext("2d"), d = g.getImageData(0, 0, c.width, c.height).data;
		const probe = document.createElement("canvas").getContext("2d");
		probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("`+name+`").trim();
		probe.fillRect(0, 0, 1, 1);
		const [R, G, B] = probe.getImageData(0, 0, 1, 1).data;
		let n = 0;
		for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 100 && Math.abs(d[i] - R) + Math.abs(d[i + 1] - G) + Math.abs(d[i + 2] - B) < 40) n++;
		return n;
	})()`)
}

func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("REPORTTEST_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o666))
}

// silent fails if the page said something is wrong, or asked for something.
func (b *browser) silent() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.said)
}

func TestThePageShowsAFailure(t *testing.T) {
	folder := left(t, "TestVictimOutage", "1-1")[0]
	b := newBrowser(t)
	b.do(chromedp.EmulateViewport(1280, 900))
	b.open(folder)
	b.drawn("19")
	require.Equal(t, "Failed", b.text(`document.getElementById("verdict").textContent`))
	require.Contains(t, b.text(`document.getElementById("command").textContent`), "SQUALL_SEED=1 go test")
	require.Positive(t, b.ink("diagram", "--dropped"), "packets into the link that is down")
	require.Positive(t, b.ink("diagram", "--ack"))
	require.Positive(t, b.ink("sequence", "--dropped"))
	require.Positive(t, b.ink("window", "--packet"))
	require.Equal(t, "0", b.text(`document.getElementById("from").value`), "not the margin before the beginning")
	labels := b.text(`diagram.labels.join("\n")`)
	require.Contains(t, labels, "[PA] seq 1:88 ack 1 len 87")
	require.NotContains(t, labels, "[A] seq 1 ack 1\n", "it lies under the request, which says more")
	b.shot("outage-1280")

	// The filter, by keyboard.
	b.do(chromedp.SendKeys(chromedp.CSS("#filter"), "dropped server -phone:80"))
	b.drawn("12")
	require.Contains(t, b.text(`document.getElementById("count").textContent`), "12 packets shown of 19")
	require.Zero(t, b.ink("diagram", "--packet"), "no packet that arrived")
	b.run(`document.getElementById("filter").value = ""; document.getElementById("tools").requestSubmit()`)
	b.drawn("19")

	// From packet to packet, and the table of that instant.
	b.do(chromedp.Focus(chromedp.CSS("#diagram")), chromedp.KeyEvent("d"))
	b.until(`document.getElementById("detail").textContent.includes("dropped")`)
	require.Contains(t, b.text(`document.getElementById("detail").textContent`), "2.12 s", "the answer, sent after 3 delays of 40 ms and 2 s")
	require.Equal(t, "2.12 s", b.text(`document.getElementById("instant").textContent`))
	require.Contains(t, b.text(`document.getElementById("table").textContent`), "ESTABLISHED")
	for range 3 {
		b.do(chromedp.KeyEvent("+"))
	}
	b.until(`Number(document.documentElement.dataset.drawn) < 19`)
	b.do(chromedp.KeyEvent(kb.Home))
	b.drawn("19")

	b.do(chromedp.EmulateViewport(400, 800))
	b.until(`document.getElementById("diagram").width <= 400`)
	require.Equal(t, "no", b.text(`document.documentElement.scrollWidth > innerWidth ? "it is wider than the screen: " + document.documentElement.scrollWidth : "no"`))
	b.shot("outage-400")
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	require.NoError(t, err)
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Sleep(300*time.Millisecond))
	require.Positive(t, b.ink("diagram", "--dropped"), "in the colours of the dark scheme")
	b.shot("outage-dark")
	b.silent()
}

// Of three times that it is opened the best counts: other programs may be busy.
func TestAHundredThousandPacketsOpenInThreeSeconds(t *testing.T) {
	folder := left(t, "TestVictimHundredThousand", "1-1")[0]
	best := time.Hour
	for range 3 {
		b := newBrowser(t)
		b.do(chromedp.EmulateViewport(1280, 900))
		began := time.Now()
		b.open(folder)
		b.until(`document.documentElement.dataset.drawn`)
		took := time.Since(began)
		best = min(best, took)
		packets := b.text(`document.getElementById("count").textContent`)
		t.Logf("opened in %v: %s", took, packets)
		require.GreaterOrEqual(t, eval[int](b, "packets.at.length"), 95_000, packets)
		zoomed := eval[float64](b, `(() => { const t = performance.now(); zoom(0.5); diagram.draw(); showEvents(); return performance.now() - t; })()`)
		t.Logf("a zoom takes %.0f ms", zoomed)
		b.shot("hundred-thousand")
		b.silent()
	}
	require.Less(t, best, 3*time.Second)
}

package overlay

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// changed applies edits to a file of a package and returns what becomes of it.
func changed(t *testing.T, text string, edits ...edit) string {
	t.Helper()
	p := sourceOf(t, text)
	for _, e := range edits {
		require.NoError(t, p.apply(e))
	}
	out, err := p.files[0].changed()
	require.NoError(t, err)
	return string(out)
}

func sourceOf(t *testing.T, text string) *pkgSource {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), []byte(text), 0o600))
	p, err := readPackage("p", dir, []string{"p.go"})
	require.NoError(t, err)
	return p
}

const sample = `package p

type box struct {
	n int // how many
}

type small struct { x int }

type empty struct{}

func (b *box) add(k int) bool {
	if b.n > 10 {
		return false
	}
	switch k {
	case draw(3):
		use(b)
	}
	b.n += k // so many
	return true
}

func draw(k int) int { return rand() + rand() }
`

func TestEditsFindTheirPlaceBySyntax(t *testing.T) {
	for _, row := range []struct {
		reason string
		e      edit
		was    string
		is     string
	}{
		{"the beginning of a method, whatever its receiver", begin("p", "box.add", "if k == 0 {\n\treturn true\n}"), "bool {\n\tif b.n > 10", "bool {if k == 0 { return true; }; \n\tif b.n > 10"},
		{"a function in one line", begin("p", "draw", "count()"), "{ return rand()", "{count();  return rand()"},
		{"first fields of a struct", firstFields("p", "box", "a, b bool\nc int"), "struct {", "struct {a, b bool; c int; "},
		{"fields of a struct, behind a comment", fields("p", "box", "a, b bool\nc int"), "many\n}", "many\na, b bool; c int}"},
		{"fields of a struct in one line", fields("p", "small", "a bool"), "{ x int }", "{ x int ; a bool}"},
		{"fields of a struct without any", fields("p", "empty", "a bool"), "struct{}", "struct{a bool}"},
		{"before a statement, found by an expression in it", before("p", "box.add", "b.n > _", "look()"), "if b.n", "look(); if b.n"},
		{"by a statement whose body is any", before("p", "box.add", "if b.n > 10 {}", "look()"), "if b.n", "look(); if b.n"},
		{"the innermost statement of a list, in a case too", before("p", "box.add", "use(__)", "look()"), "use(b)", "look(); use(b)"},
		{"what is in the condition of a case belongs to the switch", before("p", "box.add", "draw(_)", "look()"), "switch k", "look(); switch k"},
		{"after a statement, before its comment", after("p", "box.add", "b.n += k", "look()"), "b.n += k //", "b.n += k; look() //"},
		{"around a statement", around("p", "*", "b.n += _", "if k > 1 {", "}"), "b.n += k", "if k > 1 { b.n += k; }"},
		{"in place of an expression, with what it was", replace("p", "*", "draw(_)", "other($1, $0)"), "draw(3)", "other(3, draw(3))"},
		{"at all places", replace("p", "draw", "rand()", "mine()").exactly(2), "rand() + rand()", "mine() + mine()"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			require.Equal(t, strings.Replace(sample, row.was, row.is, 1), changed(t, sample, row.e))
		})
	}
}

func TestEditsThatDoNotFitAreRefused(t *testing.T) {
	for _, row := range []struct {
		reason string
		e      edit
		says   string
	}{
		{"no such function", begin("p", "gone", "look()"), "p: gone: found 0 times, want 1 times"},
		{"no such statement", before("p", "box.add", "look(_)", "use(b)"), "p: box.add: look(_): found 0 times"},
		{"other arguments", before("p", "box.add", "draw(_, _)", "use(b)"), "found 0 times"},
		{"more than expected", replace("p", "*", "rand()", "mine()"), "p: any declaration: rand(): found 2 times, want 1 times"},
		{"nowhere at all", replace("p", "*", "look()", "mine()").everywhere(), "found 0 times, want once or more"},
		{"no pattern", before("p", "*", "if {", "x()"), "pattern"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			require.ErrorContains(t, sourceOf(t, sample).apply(row.e), row.says)
		})
	}
}

// Lines keep their numbers, and what would not compile is not written.
func TestChangedFilesAreWhole(t *testing.T) {
	out := changed(t, sample, begin("p", "draw", "if true {\n\tlook()\n}"), fields("p", "box", "x int\ny int"))
	require.Equal(t, strings.Count(sample, "\n"), strings.Count(out, "\n"))

	p := sourceOf(t, sample)
	require.NoError(t, p.apply(begin("p", "draw", "if {")))
	_, err := p.files[0].changed()
	require.ErrorContains(t, err, "an edit makes it invalid")

	p = sourceOf(t, sample)
	require.NoError(t, p.apply(replace("p", "draw", "rand() + rand()", "1")))
	require.NoError(t, p.apply(replace("p", "draw", "rand()", "1").everywhere()))
	_, err = p.files[0].changed()
	require.ErrorContains(t, err, "two edits change the same place")
}

func TestOrderOfEditsAtOnePlace(t *testing.T) {
	out := changed(t, sample,
		before("p", "box.add", "b.n += k", "first()"),
		around("p", "box.add", "b.n += k", "if second {", "}"),
		after("p", "box.add", "b.n += k", "third()"))
	require.Contains(t, out, "first(); if second { b.n += k; }; third() // so many")
}

// A release that does not fit is refused with all that was not found, and nothing is written.
func TestReleaseThatDoesNotFit(t *testing.T) {
	cache := t.TempDir()
	wrong := []set{{edits: []edit{
		begin("sync", "Pool.Get", "return nil"),
		begin("sync", "Pool.Gone", "return nil"),
		begin("errors", "gone", "return nil"),
		begin("errors", "past", "return nil").to(oldest - 1),
		begin("errors", "elsewhere", "return nil").on("plan9"),
	}}}
	_, err := prepare(t.Context(), "", cache, wrong)
	var misfit *MisfitError
	require.ErrorAs(t, err, &misfit)
	require.Len(t, misfit.Missing, 2)
	require.ErrorContains(t, err, "sync: Pool.Gone: found 0 times")
	require.ErrorContains(t, err, "errors: gone: found 0 times")
	require.ErrorContains(t, err, misfit.Version+" is not supported")
	kept, err := filepath.Glob(cache + "/*.json")
	require.NoError(t, err)
	require.Empty(t, kept)
	require.NoDirExists(t, cache+"/std")
}

// Several processes may prepare at once, and what was made once is used again.
func TestPreparingAtOnce(t *testing.T) {
	cache := t.TempDir()
	one := []set{{edits: []edit{begin("errors", "New", "squall()")}}}
	type result struct {
		o   *Overlay
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			o, err := prepare(t.Context(), "", cache, one)
			results <- result{o, err}
		}()
	}
	var file string
	for range 4 {
		r := <-results
		require.NoError(t, r.err)
		file = r.o.File
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "errors.go")
	kept, err := filepath.Glob(cache + "/std/*")
	require.NoError(t, err)
	require.Len(t, kept, 1, "one changed file, and no temporary ones")

	before, err := os.Stat(file)
	require.NoError(t, err)
	_, err = prepare(t.Context(), "", cache, nil)
	require.NoError(t, err)
	after, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
}

func TestVersions(t *testing.T) {
	for version, minor := range map[string]int{"go1.26.8": 26, "go1.27rc1": 27, "devel go1.28-abcdef Mon": 28} {
		got, err := minorOf(version)
		require.NoError(t, err)
		require.Equal(t, minor, got)
	}
	_, err := minorOf("gccgo")
	require.ErrorContains(t, err, `"gccgo"`)
	require.EqualError(t, &MisfitError{Version: "go1.25.1"}, "go1.25.1 is not supported: want Go 1.26 or 1.27")
}

// All edits fit the release of Go at hand, which is one of those that CI runs.
func TestThisReleaseFits(t *testing.T) {
	o, err := prepare(t.Context(), "", t.TempDir(), sets)
	require.NoError(t, err)
	require.False(t, o.Untried, "%s is later than Go 1.%d, the last that is known to fit: try it and raise newest", o.Version, newest)
}

// The files that packages get are those that the sets name, and gofmt has formatted them.
func TestAddedFilesAreNamedAndFormatted(t *testing.T) {
	named := map[string]bool{"files/README.md": true}
	for _, s := range sets {
		for _, f := range s.files {
			named["files/"+f.pkg+"/"+f.name+".txt"] = true
		}
	}
	require.NoError(t, fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		require.True(t, named[path], "%s belongs to no set", path)
		delete(named, path)
		text, err := sources.ReadFile(path)
		if err != nil || strings.HasSuffix(path, ".md") {
			return err
		}
		formatted, err := format.Source(text)
		require.NoError(t, err, path)
		require.Equal(t, string(formatted), string(text), "%s: gofmt", path)
		require.LessOrEqual(t, bytes.Count(text, []byte("\n")), 500, path)
		return nil
	}))
	require.Empty(t, named, "files that there are not")
}

func TestProcessorThatIsNotSupported(t *testing.T) {
	t.Setenv("GOARCH", "386")
	_, err := Prepare(t.Context(), "")
	require.ErrorContains(t, err, "GOARCH=386 is not supported")
}

// A squall that an earlier release has built may not know the syntax of a later one, and says so.
func TestSyntaxOfALaterRelease(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(folder+"/a.go", []byte("package p\n\nfunc later {}\n"), 0o644))
	_, err := readPackage("p", folder, []string{"a.go"})
	require.EqualError(t, unreadable("go1.27.3", "go1.27.3", err), "the standard library in GOROOT cannot be read: "+err.Error())
	require.ErrorContains(t, unreadable("go1.27.3", "go1.26.8", err), "by this squall, which was built with go1.26.8: build it with go1.27.3")
}

// The edits fit the sources of the other systems and processors that are supported, too.
func TestOtherPlatformsFit(t *testing.T) {
	for _, platform := range []string{"linux/arm64", "darwin/arm64"} {
		t.Run(platform, func(t *testing.T) {
			system, processor, _ := strings.Cut(platform, "/")
			t.Setenv("GOOS", system)
			t.Setenv("GOARCH", processor)
			_, err := prepare(t.Context(), "", t.TempDir(), sets)
			require.NoError(t, err)
		})
	}
}

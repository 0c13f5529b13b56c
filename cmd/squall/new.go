package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write a first test",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newScenarioCommand())
	return cmd
}

func newScenarioCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "scenario NAME",
		Short: "Write a passing scenario for you to change",
		Long: `Write a test that passes into a new file of your package: two hosts, a link, an outage, and the time at which the answer arrives. Replace client
and server by your own, and assert what they promise. NAME describes what happens; it gives the test and its file their names. No file is
overwritten.`,
		Example: `  squall new scenario "the answer is lost"              (TestTheAnswerIsLost in the_answer_is_lost_test.go)
  squall new scenario -in ./checkout "the bank is slow"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := nameScenario(strings.Join(args, " "))
			if err != nil {
				return err
			}
			if err := s.place(cmd, dir); err != nil {
				return err
			}
			if err := s.write(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\nTo run it: go test -run '^%s$' %s\n", s.file, s.test, packageArg(dir))
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "in", ".", "`FOLDER` of the package")
	return cmd
}

// A newScenario describes the test to write.
type newScenario struct {
	words []string
	test  string // name of the function
	file  string
	pkg   string // of the file
}

// mostLetters is the length of the longest name: file names have at most 255 bytes.
const mostLetters = 100

// nameScenario derives the names of the test and its file from a scenario's name.
func nameScenario(name string) (*newScenario, error) {
	wrong := func(why string) error {
		return fmt.Errorf("the name %q %s: want words of ASCII letters and digits, such as \"the answer is lost\"", name, why)
	}
	if len(name) > mostLetters {
		return nil, wrong(fmt.Sprintf("has %d letters, more than %d", len(name), mostLetters))
	}
	s := &newScenario{words: strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' || r == '_' || r == ',' })}
	if len(s.words) == 0 {
		return nil, wrong("has no words")
	}
	for _, w := range s.words {
		for _, r := range w {
			if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				return nil, wrong(fmt.Sprintf("contains %q", r))
			}
		}
		s.test += strings.ToUpper(w[:1]) + w[1:]
	}
	s.test = "Test" + strings.TrimPrefix(s.test, "Test")
	if s.test == "Test" {
		return nil, wrong("is empty apart from Test")
	}
	if s.test == "TestMain" {
		return nil, wrong("gives TestMain, which package testing calls for all tests")
	}
	// A file named like *_linux_test.go is built only on that system, so the last word must have no meaning for the go command.
	s.file = strings.ToLower(strings.Join(s.words, "_")) + "_scenario_test.go"
	return s, nil
}

// place finds the package in a folder, and checks that the test and its file can be added to it.
func (s *newScenario) place(cmd *cobra.Command, dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("-in %s is a file: want the folder of a package", dir)
	}
	list := exec.CommandContext(cmd.Context(), "go", "list", "-f", "{{.Path}}", "-m", "github.com/squall-sim/squall")
	list.Dir = dir
	if out, err := list.CombinedOutput(); err != nil {
		return fmt.Errorf("the module of %s does not require github.com/squall-sim/squall; squall's README explains how to use a checkout.\ngo list: %s", dir, bytes.TrimSpace(out))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("the package in %s does not parse: %w", dir, err)
		}
		if s.pkg == "" {
			s.pkg = strings.TrimSuffix(file.Name.Name, "_test") + "_test"
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == s.test {
				return fmt.Errorf("%s already has a function %s: choose another name", name, s.test)
			}
		}
	}
	if s.pkg == "" {
		if s.pkg, err = packageName(dir); err != nil {
			return err
		}
	}
	s.file = filepath.Join(dir, s.file)
	return nil
}

// packageName returns a name for the first package in a folder.
func packageName(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := strings.Map(func(r rune) rune {
		if r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToLower(r)
		}
		return -1
	}, filepath.Base(path))
	if name = strings.TrimLeft(name, "0123456789"); name == "" || token.IsKeyword(name) {
		name = "scenarios"
	}
	return name + "_test", nil
}

func packageArg(dir string) string {
	if filepath.IsAbs(dir) || dir == "." {
		return dir
	}
	return "./" + filepath.ToSlash(filepath.Clean(dir))
}

func (s *newScenario) write() error {
	f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s already exists and was not changed: choose another name", s.file)
	}
	if err != nil {
		return err
	}
	text := strings.NewReplacer("PACKAGE", s.pkg, "TEST", s.test, "WORDS", strings.Join(s.words, " ")).Replace(scenarioText)
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

const scenarioText = `package PACKAGE

import (
	"net/http"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// WORDS: describe here what your program promises in this case.
func TEST(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		link := n.Link(client, server, netem.Config{Delay: 40 * time.Millisecond})
		server.ServeHTTP(":80", http.NotFoundHandler()) // your http.Handler; other servers take server.Listen("tcp", ":80")

		n.Inject(100*time.Millisecond, 5*time.Second, sim.Down(link)) // the request is in transit, and its answer will be lost

		resp, err := client.HTTPClient().Get("http://server/") // your client, which takes this *http.Client, or client.DialContext
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		// The answer is sent at 120 ms and again at 400 ms, 680 ms and then after twice the previous wait: by 9.08 s the link is back.
		if got, want := n.Elapsed(), 9120*time.Millisecond; got != want {
			t.Errorf("the answer came at %v, want %v", got, want)
		}
	})
}
`

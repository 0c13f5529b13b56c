package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/tables"
)

func scenariosCommand() *cobra.Command {
	var in []string
	var pattern, fault, tags string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scenarios [words]",
		Short: "List the failures that a module's tests go through",
		Long: `List the scenarios of packages: the rows of tables ([]scenario.Row), and the tests that call sim.Test or sim.Explore. For each, show why it
exists, the patterns it uses, what it breaks, where it is, and the command that runs it. With words, list only the scenarios in which all of
the words occur; upper and lower case are the same.

The list is read from the source; nothing is compiled or run. What a scenario breaks is recognised by the names of package sim in it and in
the functions of its package that it calls.`,
		Example: `  squall scenarios
  squall scenarios lost answer
  squall scenarios -pattern stream -fault Crash
  squall scenarios -in github.com/squall-sim/squall/... idempotency     (squall's own tables)
  squall scenarios -json`,
		RunE: func(cmd *cobra.Command, words []string) error {
			for _, w := range words {
				if strings.HasPrefix(w, "./") || strings.HasSuffix(w, "...") {
					return fmt.Errorf("%s: the arguments are words to search for; name packages with -in %s", w, w)
				}
			}
			var flags []string
			if tags != "" {
				flags = []string{"-tags=" + tags}
			}
			all, err := tables.Read(cmd.Context(), in, flags)
			if err != nil {
				return err
			}
			found := slices.DeleteFunc(append([]tables.Scenario{}, all...), func(s tables.Scenario) bool {
				return !s.Matches(words) || !among(pattern, s.Patterns) || !among(fault, s.Faults)
			})
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			listScenarios(cmd.OutOrStdout(), found)
			switch where := strings.Join(in, " "); {
			case len(all) == 0:
				fmt.Fprintf(cmd.ErrOrStderr(), "squall: %s has no scenarios. To write the first: squall new scenario \"the answer is lost\". To see squall's own: squall scenarios -in github.com/squall-sim/squall/...\n", where)
			case len(found) == 0:
				fmt.Fprintf(cmd.ErrOrStderr(), "squall: none of the %d scenarios of %s matches\n", len(all), where)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&in, "in", []string{"./..."}, "`PACKAGES` to search, as for go list; may be repeated")
	f.StringVar(&pattern, "pattern", "", "only scenarios that use this pattern, such as stream")
	f.StringVar(&fault, "fault", "", "only scenarios with this fault, such as Crash or Loss")
	f.StringVar(&tags, "tags", "", "build tags")
	f.BoolVar(&asJSON, "json", false, "print a JSON array of objects")
	return cmd
}

// among reports whether a name is one of several, ignoring case. An empty name always is.
func among(name string, all []string) bool {
	return name == "" || slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, name) })
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

func listScenarios(w io.Writer, all []tables.Scenario) {
	here, _ := os.Getwd()
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		file := s.File
		if rel, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(rel) {
			file = rel
		}
		fmt.Fprintf(w, "%s\n    %s\n", s.Name, cmp.Or(s.Reason, "(no reason given)"))
		if s.Source != "" {
			fmt.Fprintf(w, "    %s\n", s.Source)
		}
		uses := strings.Join(s.Patterns, ", ")
		if len(s.Faults) > 0 {
			uses = strings.TrimPrefix(uses+"; ", "; ") + "faults: " + strings.Join(s.Faults, ", ")
		}
		fmt.Fprintf(w, "    %s:%d   %s\n", file, s.Line, uses)
		if s.Run != "" {
			fmt.Fprintf(w, "    go test -run %s %s\n", shellWord(s.Run), s.Package)
		}
	}
}

// shellWord quotes a word for a POSIX shell.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

package cli

// The help texts' templates. Sections of the program's help are the categories
// of its commands, in the order of a day's work.
const (
	appHelp = `quorate - an event-sourced deployment orchestrator

Usage: quorate COMMAND [flags] [arguments]
{{range .VisibleCategories}}
{{.Name}}:
{{- range .VisibleCommands}}
  {{printf "%-12s" .Name}} {{.Usage}}
{{- end}}
{{end}}
Global flags:
{{- range .VisibleFlags}}
  {{.}}
{{- end}}

See "quorate COMMAND --help" for the flags of a command.
`
	commandHelp = `{{.HelpName}} - {{.Usage}}

Usage: {{.HelpName}}{{if .VisibleFlags}} [flags]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{- if .Description}}

{{.Description}}
{{- end}}
{{- if .VisibleFlags}}

Flags:
{{- range .VisibleFlags}}
  {{.}}
{{- end}}
{{- end}}

Global flags: --server, --identity, -o FORMAT (see "quorate --help")
`
	familyHelp = `{{.HelpName}} - {{.Usage}}

Usage: {{.HelpName}} COMMAND [flags] [arguments]
{{- if .Description}}

{{.Description}}
{{- end}}

Commands:
{{- range .VisibleCommands}}
  {{printf "%-12s" .Name}} {{.Usage}}
{{- end}}
{{- if .VisibleFlags}}

Flags:
{{- range .VisibleFlags}}
  {{.}}
{{- end}}
{{- end}}

Global flags: --server, --identity, -o FORMAT (see "quorate --help")
`
)

// The sections of the program's help. They are sorted by name, so the names are
// chosen to sort into the order of a day's work.
const (
	sectionPlan    = "Planning and running"
	sectionRuns    = "Runs and the log"
	sectionCluster = "The cluster"
	sectionOther   = "Trouble and tools"
)

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/eventlog"
	"quorate/eventlog/cloudevent"
)

func (p *program) logCommand() *cli.Command {
	return &cli.Command{
		Name: "log", Category: sectionRuns, Usage: "read the log of all events",
		Subcommands: []*cli.Command{{
			Name: "ls", Usage: "list events, oldest first", Action: p.logList,
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "since", Usage: "after this `SEQ`, or from this time on (RFC 3339, or a duration ago such as 1h)"},
				&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with new events"},
				&cli.StringFlag{Name: "kind", Usage: "of this `KIND` only, for instance step_scheduled"},
				&cli.Uint64Flag{Name: "run", Usage: "of this `RUN` only"},
				&cli.IntFlag{Name: "limit", Usage: "at most `N` events; 0 shows all"},
				&cli.StringFlag{Name: "after", Usage: "go on behind the event with this `CURSOR`, which -o ndjson gives each"},
			},
			Description: "-o ndjson writes CloudEvents 1.0 (docs/schema/cloudevent.json), one in a line. The cursor of\n" +
				"the last one, given as --after, goes on without a gap or a repetition, also after the\n" +
				"cluster was restarted; that of another cluster, or of an event that a recovery has lost,\n" +
				"is refused.\n\n" +
				"  quorate log ls --since 1h --kind access_denied\n" +
				"  quorate log ls -o ndjson --follow --after CURSOR",
		}, p.logSQLCommand()},
	}
}

func (p *program) logList(c *cli.Context) error {
	seq, from, err := since(c.String("since"), time.Now())
	if err != nil {
		return usage(commandLine(c)+" --help", "--since %w", err)
	}
	if n := c.Int("limit"); n < 0 {
		return usage(commandLine(c)+" --help", "--limit %d: want a number, or 0 for all", n)
	}
	kind, err := kindName(c.String("kind"))
	if err != nil {
		return err
	}
	if c.IsSet("after") && c.IsSet("since") {
		return usage(commandLine(c)+" --help", "--after and --since are one at a time")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if c.IsSet("after") {
		if seq, err = placeOf(c.Context, client, c.String("after")); err != nil {
			return err
		}
	}
	query := api.LogQuery{
		Since: seq, From: from, Follow: c.Bool("follow"), Kind: kind, Run: c.Uint64("run"), Limit: c.Int("limit"),
	}
	if query.Run != 0 && !query.Follow { // what is followed may begin later
		if _, err := client.Run(c.Context, strconv.FormatUint(query.Run, 10)); err != nil {
			var answered *api.Error
			if errors.As(err, &answered) && answered.Code == "not-found" {
				err = fail(exitError, err, `see "quorate run ls"`)
			}
			return err
		}
	}
	if p.format() == formatTable || p.format() == formatNDJSON {
		return p.streamLog(c.Context, client, query)
	}
	if query.Follow {
		return usage(commandLine(c)+" --help", "--follow has no end: it goes with -o table and -o ndjson")
	}
	all := []api.LogEvent{}
	for event, err := range client.Log(c.Context, query) {
		if err != nil {
			return err
		}
		all = append(all, event)
	}
	return p.emit(struct {
		Schema string         `json:"schema"`
		Events []api.LogEvent `json:"events"`
	}{api.Schema, all}, nil)
}

// streamLog prints events as they come. With Follow, a lost connection is made
// again and goes on behind the last event.
func (p *program) streamLog(ctx context.Context, client *api.Client, query api.LogQuery) error {
	shown, cluster := 0, ""
	if p.format() == formatNDJSON {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		cluster = status.ClusterID
	}
	once := func() error {
		for event, err := range client.Log(ctx, query) {
			if err != nil && (!query.Follow || shown == 0) {
				return final{err}
			}
			if err != nil {
				return err
			}
			if err := p.printEvent(cluster, event); err != nil {
				return final{err}
			}
			query.Since = event.Seq
			if shown++; shown == query.Limit {
				return nil
			}
		}
		if query.Follow {
			return errors.New("the stream of the log ended")
		}
		return nil
	}
	for {
		before := shown
		if err := persist(ctx, once); err == nil || shown == before || ctx.Err() != nil {
			return err
		}
	}
}

// kindName checks the name of a kind. The name of the event's Go type, such as
// StepScheduled, will do as well.
func kindName(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var known []string
	for _, k := range eventlog.Kinds() {
		if name := k.String(); strings.EqualFold(text, name) || strings.EqualFold(text, strings.ReplaceAll(name, "_", "")) {
			return name, nil
		}
		known = append(known, k.String())
	}
	return "", hinting(unknown("kind", text, known, "quorate log ls"), "there are "+strings.Join(slices.Sorted(slices.Values(known)), ", "))
}

// since reads a place in the log: an index, a time, or how long ago.
func since(text string, now time.Time) (seq uint64, from time.Time, err error) {
	if text == "" {
		return 0, time.Time{}, nil
	}
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
		return seq, time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return 0, now.Add(-ago), nil
	}
	from, err = time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("%q: want a sequence number, a time such as 2026-01-02T15:04:05Z, or a duration such as 1h", text)
	}
	return 0, from, nil
}

// printLogEvent prints an event as it comes; a table that is drawn at the end
// would be of no use with --follow.
func (p *program) printLogEvent(e api.LogEvent) error {
	width := 0
	if p.con.outTerminal {
		width = p.con.columns()
	}
	head, void, detail, err := logLine(e, width)
	if err != nil {
		return err
	}
	if void != "" {
		void = p.con.paint(p.con.out, yellow, void)
	}
	_, err = fmt.Fprintf(p.con.out, "%s%s%s\n", head, void, detail)
	return err
}

// logLine writes an event in one line of at most width columns, or of any length
// where width is 0.
func logLine(e api.LogEvent, width int) (head, void, detail string, err error) {
	run := "-"
	if e.Run > 0 {
		run = strconv.FormatUint(e.Run, 10)
	}
	if e.Void {
		void = "void (" + printable(e.VoidReason) + ") "
	}
	head = fmt.Sprintf("%6d  %s  %-18s  %3s  ", e.Seq, e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Kind, run)
	if detail, err = fieldsText(e.Kind, e.Event); err != nil {
		return "", "", "", err
	}
	detail = printable(detail)
	if width > 0 {
		void = shortened(void, width-utf8.RuneCountInString(head))
		detail = shortened(detail, width-utf8.RuneCountInString(head+void))
	}
	return head, void, detail, nil
}

// shortened is the text within so many columns.
func shortened(text string, columns int) string {
	runes := []rune(text)
	switch {
	case len(runes) <= columns:
		return text
	case columns < 1:
		return ""
	}
	return string(runes[:columns-1]) + "…"
}

// eventText is fieldsText of an event that may be decoded, and then tells its kind.
func eventText(event any) (string, error) {
	kind := ""
	if e, ok := event.(eventlog.Event); ok {
		kind = e.Kind().String()
	}
	return fieldsText(kind, event)
}

// fieldsText writes the fields of an event as key=value, in order of their names, and
// times as such. Fields that say nothing, and the run, which has a column, are left out.
func fieldsText(kind string, event any) (string, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return "", err
	}
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return string(data), nil
	}
	cloudevent.RFC3339(kind, fields)
	if nanos, ok := fields["duration"].(json.Number); ok {
		if n, err := nanos.Int64(); err == nil && n != 0 {
			fields["duration"] = time.Duration(n).String()
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, err := jsonText(fields[name])
		if err != nil {
			return "", err
		}
		switch value {
		case `0`, `""`, `null`, `false`, `[]`:
			continue
		}
		if name == "run" {
			continue
		}
		if text := strings.Trim(value, `"`); !strings.ContainsAny(text, "\\\" ") {
			value = text
		}
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, " "), nil
}

// jsonText is a value as JSON on one line, with < and > as they are.
func jsonText(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/eventlog/bundle"
	"quorate/internal/checkpoint"
	"quorate/internal/pki"
)

func (p *program) auditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Category: sectionRuns, Usage: "prove what the log says, also to those who have no cluster",
		Subcommands: []*cli.Command{p.auditExportCommand(), p.auditVerifyCommand(), p.auditCheckpointCommand(), p.auditKeyCommand()},
	}
}

// trustFlags are what a reader may know of a cluster from elsewhere.
func trustFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "key", Usage: "the `KEY` that the cluster signs its log with, or a file with it (see \"quorate audit key\")"},
		&cli.StringFlag{Name: "ca", Usage: "`FILE` with the certificate of the cluster's authority (pki/ca.crt)"},
		&cli.StringSliceFlag{Name: "checkpoint", Usage: "`FILE` with checkpoints that were kept elsewhere, as --checkpoint-sink writes them; may be repeated"},
	}
}

// readTrust reads what the reader knows from the flags.
func readTrust(c *cli.Context) (t bundle.Trust, err error) {
	for _, name := range []string{"key", "ca", "checkpoint"} {
		// What a variable that is not set leaves of a flag is no wish to trust anything.
		if c.IsSet(name) && (c.String(name) == "" && name != "checkpoint" || slices.Contains(c.StringSlice(name), "")) {
			return t, usage(commandLine(c)+" --help", "--%s is empty", name)
		}
	}
	if t.Key, err = readKey(c.String("key")); err != nil {
		return t, err
	}
	if file := c.String("ca"); file != "" {
		if t.CA, err = readAuthority(file); err != nil {
			return t, err
		}
	}
	for _, file := range c.StringSlice("checkpoint") {
		text, err := os.ReadFile(file)
		if err != nil {
			return t, fmt.Errorf("--checkpoint: %w", err)
		}
		notes := splitNotes(string(text))
		if len(notes) == 0 {
			return t, fail(exitError, fmt.Errorf("--checkpoint: %s holds no checkpoint", file), "give a file that --checkpoint-sink wrote")
		}
		t.Checkpoints = append(t.Checkpoints, notes...)
	}
	return t, nil
}

// readKey reads a key, or the file that it is in.
func readKey(text string) (string, error) {
	if text == "" || strings.HasPrefix(text, checkpoint.OriginPrefix) && strings.Count(text, "+") >= 2 {
		return text, nil
	}
	content, err := os.ReadFile(text)
	if err != nil {
		return "", hinted(fmt.Errorf("--key: %w", err), "give what \"quorate audit key\" prints, or a file with it")
	}
	key := strings.TrimSpace(string(content))
	if key == "" {
		return "", fail(exitError, fmt.Errorf("--key: %s is empty", text), "give what \"quorate audit key\" prints, or a file with it")
	}
	return key, nil
}

func readAuthority(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	cert, err := pki.ParseCertificate(text)
	if err != nil {
		return nil, hinted(fmt.Errorf("--ca: %s: %w", file, err), "give pki/ca.crt of an orchestrator's data directory")
	}
	return cert, nil
}

// splitNotes finds the signed notes in a file. What a crash cut off is passed over, in
// the signature too.
func splitNotes(text string) (notes [][]byte) {
	pieces := strings.Split(text, "\n\n")
	for i := 0; i+1 < len(pieces); i++ {
		body, signature := strings.TrimLeft(pieces[i], "\n"), strings.TrimRight(pieces[i+1], "\n")
		if strings.HasPrefix(body, checkpoint.OriginPrefix) && wholeSignature(signature) {
			notes = append(notes, []byte(body+"\n\n"+signature+"\n"))
			i++
		}
	}
	return notes
}

// wholeSignature reports whether a note's last line holds a key's hash and all of an
// Ed25519 signature.
func wholeSignature(line string) bool {
	named, encoded, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && strings.HasPrefix(line, "— ") && named != "" && len(raw) == 4+ed25519.SignatureSize
}

// An auditReport is what audit verify and audit export print.
type auditReport struct {
	Schema    string `json:"schema"`
	OK        bool   `json:"ok"`
	File      string `json:"file"`
	Kind      string `json:"kind,omitempty"` // bundle or log
	Bytes     int64  `json:"bytes,omitempty"`
	ClusterID string `json:"cluster_id,omitempty"`
	Run       uint64 `json:"run,omitempty"`
	// From and To are the contiguous records, Records how many there are with those
	// that they stand on, and Signed up to where a checkpoint covers them.
	From       uint64    `json:"from,omitempty"`
	To         uint64    `json:"to,omitempty"`
	Records    uint64    `json:"records,omitempty"`
	Signed     uint64    `json:"signed,omitempty"`
	SignedAt   time.Time `json:"signed_at,omitzero"`
	Head       string    `json:"head,omitempty"`
	Key        string    `json:"key,omitempty"`
	KeyTrusted bool      `json:"key_trusted"`
	Proven     []string  `json:"proven,omitempty"`
	NotProven  []string  `json:"not_proven,omitempty"`
	// FirstBad is the first index that is not what was written, or may be the first;
	// Part is of a bundle.
	FirstBad uint64 `json:"first_bad,omitempty"`
	Part     string `json:"part,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func auditReportOf(file string, r *bundle.Report) auditReport {
	a := auditReport{
		Schema: api.Schema, OK: true, File: file, Kind: "bundle", ClusterID: r.Cluster, Run: r.Run, From: r.From, To: r.To,
		Records: r.Records(), Head: r.Head, Key: r.Key, KeyTrusted: r.KeyTrusted, Proven: r.Proven(), NotProven: r.NotProven(),
	}
	if r.Log {
		a.Kind, a.Records = "log", r.To
	}
	if n := len(r.Signed); n > 0 {
		a.Signed, a.SignedAt = r.Signed[n-1].Size, r.Signed[n-1].Time
	}
	return a
}

// printAudit prints what is proven and what is not.
func (p *program) printAudit(a auditReport) error {
	return p.emit(a, func() error {
		of := fmt.Sprintf("records %d to %d", a.From, a.To)
		if a.Run > 0 {
			of = fmt.Sprintf("run %d, %s", a.Run, of)
		}
		fmt.Fprintf(p.con.out, "%s: %s, %s of cluster %.12s\n", a.File, p.con.paint(p.con.out, green, "ok"), of, a.ClusterID)
		if a.Key != "" {
			fmt.Fprintf(p.con.out, "key %s\n", a.Key)
		}
		for _, list := range []struct {
			title string
			lines []string
		}{{"proven:", a.Proven}, {"not proven:", a.NotProven}} {
			if len(list.lines) == 0 {
				continue
			}
			fmt.Fprintln(p.con.out, list.title)
			for _, line := range list.lines {
				if err := p.prose("    ", "  - %s", printable(line)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// auditFailure prints what is wrong where that is asked for as a document, and returns
// the error with what can be done.
func (p *program) auditFailure(file string, err error) error {
	a := auditReport{Schema: api.Schema, File: file}
	var newer *bundle.NewerError
	var bad *bundle.BadError
	switch first, reason, damaged := damage(err); {
	case errors.As(err, &newer):
		return fail(exitRefused, fmt.Errorf("%s: %w", file, err))
	case errors.As(err, &bad):
		a.FirstBad, a.Part, a.Reason = bad.Index, bad.Part, bad.Reason
		hint := "it is not what the cluster wrote: get it again from where it comes from, and compare"
		if bad.Log {
			hint = "compare it with the log of another orchestrator, or with a backup"
		}
		err = hinted(fmt.Errorf("%s: %w", file, err), "%s", hint)
	case damaged:
		a.FirstBad, a.Reason = first, reason
		err = afterDamage(err)
	default:
		return err
	}
	if p.format() != formatTable {
		if e := p.emit(a, nil); e != nil {
			return e
		}
	}
	return err
}

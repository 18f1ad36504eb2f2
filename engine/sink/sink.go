// Package sink keeps signed checkpoints outside of the cluster: in a file, or at an
// HTTP endpoint. What is there the cluster cannot take back, so that a log which is
// rewritten later, by whomever, contradicts it.
package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/internal/checkpoint"
)

const (
	filePrefix = "file:"
	// fileMode lets others read: a checkpoint is there to be compared.
	fileMode = 0o644
	// answerBytesMax is how much of an endpoint's answer is read.
	answerBytesMax = 4 << 10
	// requestTimeout bounds a request, also where the caller does not.
	requestTimeout = 30 * time.Second
	contentType    = "text/plain; charset=utf-8"
	// excerptBytesMax bounds what an error quotes of an answer.
	excerptBytesMax = 200
)

// ErrForm is wrapped by errors for a sink that cannot be meant.
var ErrForm = errors.New(`want "file:/PATH" or "https://HOST/PATH"`)

// A Sink takes checkpoints. It is for one caller at a time.
type Sink struct {
	name    string
	deliver func(ctx context.Context, note []byte) error
}

// Name returns what the sink was made from, without a password.
func (s *Sink) Name() string { return s.name }

// Deliver returns when the sink has the note for good: synced to the disk, or
// answered with a status of 2xx. A file that ends with the note gets it no second
// time; an endpoint may get it again.
func (s *Sink) Deliver(ctx context.Context, note []byte) error { return s.deliver(ctx, note) }

// Parse returns the sink of file:PATH, or of an http or https URL. The path must be
// absolute; the file is made when the first checkpoint comes. The error wraps
// [ErrForm].
func Parse(text string) (*Sink, error) {
	if path, ok := strings.CutPrefix(text, filePrefix); ok {
		if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
			return nil, fmt.Errorf("%q: %w", text, ErrForm)
		}
		return &Sink{name: text, deliver: func(_ context.Context, note []byte) error { return appendNote(path, note) }}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%.200q: %w", text, ErrForm)
	}
	// Where an endpoint has moved, most answers would have the client fetch a page there
	// instead of delivering anything.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &http.Client{Timeout: requestTimeout, CheckRedirect: stay}
	return &Sink{name: u.Redacted(), deliver: func(ctx context.Context, note []byte) error { return post(ctx, client, u, note) }}, nil
}

// appendNote adds a note and an empty line to a file, and syncs it.
func appendNote(path string, note []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := make([]byte, min(info.Size(), checkpoint.NoteBytesMax))
	if _, err := f.ReadAt(end, info.Size()-int64(len(end))); err != nil && info.Size() > 0 {
		return err
	}
	entry := append(bytes.Clone(note), '\n')
	if bytes.HasSuffix(end, entry) {
		return f.Sync() // it may have been written and not synced
	}
	if !bytes.HasSuffix(end, []byte("\n\n")) && info.Size() > 0 {
		entry = append([]byte("\n\n"), entry...) // behind what a crash cut off
	}
	if _, err := f.Write(entry); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info.Size() > 0 {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path)) // the file may be new
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func post(ctx context.Context, client *http.Client, u *url.URL, note []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(note))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if at := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && at != "" {
		return fmt.Errorf("%s answers %s: name the sink by where it is now, %.200q", u.Redacted(), resp.Status, at)
	}
	if resp.StatusCode/100 != 2 {
		text := strings.TrimSpace(string(answer))
		return fmt.Errorf("%s answers %s: %q", u.Redacted(), resp.Status, text[:min(len(text), excerptBytesMax)])
	}
	return nil
}

package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"quorate/engine/orchestrator"
)

type joiner func(req JoinRequest) (*JoinAnswer, error)

func (j joiner) Join(_ context.Context, req JoinRequest) (*JoinAnswer, error) { return j(req) }

// ask serves one request to join and makes it.
func ask(t *testing.T, req JoinRequest, j joiner) (answer *JoinAnswer, refused error, served error) {
	t.Helper()
	ours, theirs := pair(t)
	done := make(chan error, 1)
	go func() { done <- ServeJoin(context.Background(), theirs, j) }()
	answer, refused = RequestJoin(t.Context(), ours, req)
	return answer, refused, <-done
}

func TestJoin(t *testing.T) {
	t.Parallel()
	want := &JoinAnswer{
		Replica: 3, ClusterID: "c", Members: map[uint64]string{1: "a:1", 3: "b:1"},
		Files: map[string][]byte{"ca.key": []byte("a key"), "ca.crt": {0, 1, 255}},
	}
	req := JoinRequest{Secret: "a secret", RequestID: "r", Name: "n", RaftAddress: "b:1", AgentAddress: "b:2", APIAddress: "b:3", Replaces: 2}
	answer, err, served := ask(t, req, func(got JoinRequest) (*JoinAnswer, error) {
		if got != req {
			t.Errorf("asked %+v", got)
		}
		return want, nil
	})
	if err != nil || served != nil || !reflect.DeepEqual(answer, want) {
		t.Errorf("answer %+v, %v, %v", answer, err, served)
	}
}

// A refusal arrives as the orchestrator meant it, and neither it nor what is
// logged tells a secret.
func TestJoinRefused(t *testing.T) {
	t.Parallel()
	req := JoinRequest{Secret: "hush", RequestID: "r"}
	for _, refusal := range []error{
		&orchestrator.Error{Code: orchestrator.Unauthorized, Message: "the token has been used", Hint: "make another"},
		errors.New("a fault with internals"),
	} {
		_, err, served := ask(t, req, func(JoinRequest) (*JoinAnswer, error) { return nil, refusal })
		var got, want *orchestrator.Error
		if !errors.As(err, &got) {
			t.Fatalf("refused with %v", err)
		}
		if errors.As(refusal, &want) && (got.Code != want.Code || got.Message != want.Message || got.Hint != want.Hint) {
			t.Errorf("refused with %+v, want %+v", got, want)
		}
		if want == nil && (got.Code != orchestrator.Internal || strings.Contains(got.Message, "internals")) {
			t.Errorf("a fault is told as %+v", got)
		}
		if served == nil || strings.Contains(served.Error()+err.Error(), "hush") {
			t.Errorf("logged: %v", served)
		}
	}
}

// Nobody gets memory or an answer by a length, and no error quotes what came.
func TestHostileJoins(t *testing.T) {
	t.Parallel()
	framed := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	for name, message := range map[string][]byte{
		"a huge length":  {0xff, 0xff, 0xff, 0xff},
		"no JSON":        framed("hush"),
		"another JSON":   framed(`["hush"]`),
		"another type":   framed(`{"Secret": 7, "Name": "hush"}`),
		"one that stops": framed(`{"Secret": "hush"}`)[:10],
		"nothing":        {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := pair(t)
			done := make(chan error, 1)
			go func() {
				done <- ServeJoin(context.Background(), theirs, joiner(func(JoinRequest) (*JoinAnswer, error) {
					t.Error("it was taken for a request")
					return nil, errors.New("no")
				}))
			}()
			if _, err := ours.Write(message); err != nil {
				t.Fatal(err)
			}
			if err := ours.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("served: %v", err)
			}
			wantClosed(t, ours)
		})
	}
}

// A joiner trusts no answer further than that it is one.
func TestHostileJoinAnswers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing in it": `{}`, "no number": `{"answer":{"Files":{"a":"eA=="},"Members":{"1":"a:1"}}}`,
		"no files": `{"answer":{"Replica":3,"Members":{"1":"a:1"}}}`, "no members": `{"answer":{"Replica":3,"Files":{"a":"eA=="}}}`,
		"no JSON": `{`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := pair(t)
			if _, err := theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
				t.Fatal(err)
			}
			if answer, err := RequestJoin(t.Context(), ours, JoinRequest{}); err == nil {
				t.Errorf("taken: %+v", answer)
			}
		})
	}
}

func TestRequestJoinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ours, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := RequestJoin(ctx, ours, JoinRequest{})
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// Whatever bytes come, reading a request to join ends, with bounded memory.
func FuzzJoinRequest(f *testing.F) {
	var b bytes.Buffer
	if err := writeJSON(&b, joinRequestBytesMax, JoinRequest{Secret: "s", Replaces: 2}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var req JoinRequest
		if err := readJSON(bytes.NewReader(b), joinRequestBytesMax, &req); err == nil && len(b) < 4 {
			t.Errorf("%+v was read from %x", req, b)
		}
	})
}

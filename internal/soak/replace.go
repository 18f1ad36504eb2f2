package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/eventlog"
	"quorate/internal/soak/lab"
)

// damageBytesMin is the least size of a record to be damaged: shorter ones may be
// found by chance elsewhere in the file.
const damageBytesMin = 24

// replaceOne damages the log of one orchestrator's directory after a while, wants
// that orchestrator to refuse to serve it, and puts a new one in its place.
func (s *soak) replaceOne(ctx context.Context, after time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(after):
	}
	r := rand.New(rand.NewPCG(s.cfg.Seed, 777))
	servers := s.lab.Servers()
	victim := servers[r.IntN(len(servers)-1)] // not the one on the small disk
	name := victim.Name()
	for !s.injector.claim(name) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	number := victim.Replica(ctx)
	for number == 0 && ctx.Err() == nil {
		<-time.After(100 * time.Millisecond)
		number = victim.Replica(ctx)
	}
	s.cfg.Log("damage: %s, replica %d", name, number)
	victim.Kill()
	where, err := damage(filepath.Join(victim.Dir, eventlog.StoreFile), r)
	if err != nil {
		s.broken("the soak itself: %v", err)
		return
	}
	s.cfg.Log("damaged: %s", where)
	s.refuses(ctx, victim)
	victim.Leave()
	replacement, err := s.lab.Join(ctx, number)
	for ; err != nil && ctx.Err() == nil; replacement, err = s.lab.Join(ctx, number) {
		<-time.After(200 * time.Millisecond) // no majority at the moment
	}
	if err != nil {
		return
	}
	s.cfg.Log("replaced: %s by %s", name, replacement.Name())
	err = lab.UntilWithin(ctx, calmMax, replacement.Name()+" votes", func() bool { return s.votes(ctx, replacement) })
	if err != nil && ctx.Err() == nil {
		s.broken("G2: %v\n%s", err, replacement.LogTail(10))
	}
}

// damage flips one bit of a record in the first half of a stopped orchestrator's
// log, wherever the files hold it, and says where that is.
func damage(path string, r *rand.Rand) (where string, err error) {
	store, err := eventlog.OpenStore(path, eventlog.StoreOptions{ReadOnly: true})
	if err != nil {
		return "", err
	}
	var record eventlog.Record
	for len(record.Data) < damageBytesMin {
		records, err := store.Read(1+r.Uint64N(store.Head().Index/2), 1)
		if err != nil {
			return "", errors.Join(err, store.Close())
		}
		record = records[0]
	}
	sealed := store.Sealed()
	if err := store.Close(); err != nil {
		return "", err
	}
	if record.Index <= sealed {
		return damageSegment(filepath.Join(filepath.Dir(path), eventlog.SegmentsDir), record.Index)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	found := 0
	for at := 0; ; found++ {
		i := bytes.Index(file[at:], record.Data)
		if i < 0 {
			break
		}
		file[at+i+len(record.Data)/2] ^= 1
		at += i + len(record.Data)
	}
	if found == 0 {
		return "", fmt.Errorf("%s does not hold its own record", path)
	}
	return path, os.WriteFile(path, file, 0o600)
}

// damageSegment flips one bit of the segment file with a record, about where the record
// is in it.
func damageSegment(dir string, index uint64) (where string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		var first, last uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "%d-%d.seg", &first, &last); err != nil || index < first || index > last {
			continue
		}
		file, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		file[uint64(len(file))*(index-first)/(last-first+1)] ^= 1
		return path, os.WriteFile(path, file, 0o600)
	}
	return "", fmt.Errorf("no segment in %s holds record %d", dir, index)
}

// refuses wants a damaged orchestrator to end with an error that says so.
func (s *soak) refuses(ctx context.Context, victim *lab.Server) {
	from := victim.LogSize()
	if err := victim.Start(); err != nil {
		s.broken("the soak itself: %v", err)
		return
	}
	err := lab.UntilWithin(ctx, 20*time.Second, victim.Name()+" refuses its damaged log", victim.Crashed)
	if err != nil && ctx.Err() == nil {
		s.broken("G2: %v\n%s", err, victim.LogFrom(from))
		out, verify := s.lab.Run(ctx, victim, "replay", "--verify", "--data-dir", victim.Dir)
		s.cfg.Log("%s%v", out, verify)
	}
	if said := victim.LogFrom(from); err == nil && !strings.Contains(said, "damaged") {
		s.broken("G2: %s does not say that its log is damaged: %s", victim.Name(), said)
	}
	victim.Kill()
}

// votes reports whether an orchestrator is a voting member.
func (s *soak) votes(ctx context.Context, o *lab.Server) bool {
	cluster, err := o.Cluster(ctx)
	if err != nil {
		return false
	}
	for _, m := range cluster.Members {
		if m.Self {
			return m.Role == "voter"
		}
	}
	return false
}

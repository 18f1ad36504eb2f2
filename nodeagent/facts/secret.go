package facts

import (
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"quorate/internal/pyvalue"
)

const (
	// secretBytesMin is how long a text is at least that is hidden: shorter ones are in
	// everything that is printed.
	secretBytesMin = 4
	// innerBytesMin is how long a secret is at least that makes one of each value in
	// which it is: a shorter word may be there by chance.
	innerBytesMin = 8
)

// Secrets returns the texts that no output may show, the longest first: those in
// values that were stored as secret, the lines of such texts, and other forms in which
// programs print them, see forms. Texts of fewer than four bytes are not among them.
func (s *Store) Secrets() ([]string, error) {
	s.mu.Lock()
	texts, known, version := s.secrets, s.secretsKnown, s.changes
	s.mu.Unlock()
	if known {
		return texts, nil
	}
	texts = nil
	for _, bucket := range [][]byte{bucketArgs, bucketEnvs} {
		all, err := s.facts(bucket)
		if err != nil {
			return nil, err
		}
		for _, f := range all {
			if f.Origin.Secret {
				texts = leaves(texts, f.Value)
			}
		}
	}
	slices.SortFunc(texts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	texts = slices.Compact(texts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == s.changes {
		s.secrets, s.secretsKnown = texts, true
	}
	return texts, nil
}

// leaves appends the texts in a value that are long enough to be hidden.
func leaves(texts []string, v pyvalue.Value) []string {
	switch v := v.(type) {
	case *pyvalue.List:
		for _, item := range v.Items {
			texts = leaves(texts, item)
		}
		return texts
	case *pyvalue.Dict:
		for _, item := range v.All() {
			texts = leaves(texts, item)
		}
		return texts
	}
	whole := strings.TrimSpace(pyvalue.String(v))
	for line := range strings.Lines(whole) {
		if line = strings.TrimSpace(line); len(line) >= secretBytesMin {
			texts = append(texts, line)
		}
	}
	if strings.Contains(whole, "\n") {
		texts = append(texts, whole)
	}
	if len(whole) >= secretBytesMin {
		texts = append(texts, forms(whole)...)
	}
	return texts
}

// Hides reports whether a value is not to be shown: it was stored as secret, or a text
// that was is in it, or in a key of it, such as a copy that a template has made. A text of
// fewer than eight bytes has to be all of a text or key there.
func (s *Store) Hides(f Fact) (bool, error) {
	if f.Origin.Secret {
		return true, nil
	}
	secrets, err := s.Secrets()
	return err == nil && len(secrets) > 0 && holds(f.Value, secrets), err
}

// holds reports whether any of the secrets, which are the longest first, is in a value.
func holds(v pyvalue.Value, secrets []string) bool {
	switch v := v.(type) {
	case *pyvalue.List:
		return slices.ContainsFunc(v.Items, func(item pyvalue.Value) bool { return holds(item, secrets) })
	case *pyvalue.Dict:
		for k, item := range v.All() {
			if holds(k, secrets) || holds(item, secrets) {
				return true
			}
		}
		return false
	}
	text := pyvalue.String(v)
	return slices.ContainsFunc(secrets, func(secret string) bool {
		return strings.TrimSpace(text) == secret || len(secret) >= innerBytesMin && strings.Contains(text, secret)
	})
}

func secretKey(bucket []byte, name string) []byte {
	return append(append(slices.Clone(bucket), 0), name...)
}

func isSecret(tx *bolt.Tx, bucket []byte, name string) bool {
	return tx.Bucket(bucketSecrets).Get(secretKey(bucket, name)) != nil
}

// markSecret says whether the value of the name is one.
func markSecret(tx *bolt.Tx, bucket []byte, name string, secret bool) error {
	if !secret {
		return tx.Bucket(bucketSecrets).Delete(secretKey(bucket, name))
	}
	return tx.Bucket(bucketSecrets).Put(secretKey(bucket, name), []byte{1})
}

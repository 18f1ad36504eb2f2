package facts

import (
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"quorate/internal/pyvalue"
)

// secretBytesMin is how long a text is at least that is hidden: shorter ones are in
// everything that is printed.
const secretBytesMin = 4

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

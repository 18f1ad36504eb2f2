package eventlog_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"quorate/eventlog"
)

// catalogueOf is the SHA-256 of the catalogue as a version has it.
const (
	catalogueVersion = 1
	catalogueOf      = "12be13137ae7893c7e05afccbb4fd8ddb3a268dc37325a5439d20d93ccd8fa87"
)

// Who compares versions learns of a change to the catalogue by no other way.
func TestVersionFollowsTheCatalogue(t *testing.T) {
	text, err := json.Marshal(eventlog.Schemas())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); eventlog.Version != catalogueVersion || got != catalogueOf {
		t.Errorf("version %d has the catalogue %s, and version %d had %s: a kind or a field is new. Raise eventlog.Version if a release with the present one is out, and note the catalogue here",
			eventlog.Version, got, catalogueVersion, catalogueOf)
	}
}

package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// spokenMark parts the version of a program from the protocol in AgentConnected.Version.
const spokenMark = ", protocol "

// Spoken is what AgentConnected.Version says of an agent of the version of the program
// that speaks the protocol: one text, since a field more in that record would keep
// earlier orchestrators from reading it.
func Spoken(program string, protocol uint8) string {
	return fmt.Sprintf("%s%s%d", program, spokenMark, protocol)
}

// Program returns the version of the agent's program, and the protocol that it speaks, as
// it connected last; 0 where the record does not tell that.
func (a *Agent) Program() (version string, protocol uint8) {
	i := strings.LastIndex(a.Version, spokenMark)
	if i < 0 {
		return a.Version, 0
	}
	n, err := strconv.ParseUint(a.Version[i+len(spokenMark):], 10, 8)
	if err != nil {
		return a.Version, 0
	}
	return a.Version[:i], uint8(n)
}

package cli

import (
	"errors"
	"fmt"

	"quorate/internal/pki"
)

// authority opens the cluster's authority. One is made only where nothing was ever
// issued: a key that is made anew ends the trust of all agents and operators.
func (n *node) authority() (*pki.CA, error) {
	if founding(n.cfg.dir, n.member) {
		if err := pki.DropUnfinished(n.pkiDir()); err != nil {
			return nil, err
		}
		ca, err := pki.LoadOrCreate(n.pkiDir())
		return ca, n.explainAuthority(err)
	}
	ca, err := pki.Load(n.pkiDir())
	return ca, n.explainAuthority(err)
}

// explainAuthority says where an authority's file is to be had.
func (n *node) explainAuthority(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("certificate authority: %w", err)
	if !errors.Is(err, pki.ErrFiles) {
		return err
	}
	hints := []string{
		fmt.Sprintf("nothing was changed: all orchestrators of a cluster have the same files, copy this one from another's data directory to %s", n.pkiDir()),
		fmt.Sprintf("if this was the only one, take it out of a file of \"quorate cluster backup\": tar -xf FILE -C %s pki", n.cfg.dir),
	}
	if n.member != nil && n.peers != nil {
		hints = append(hints, fmt.Sprintf("or replace this orchestrator: \"quorate cluster add --replace %d\" on another one prints the command", n.member.Replica))
	}
	return fail(exitError, err, hints...)
}

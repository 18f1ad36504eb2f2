package verb

func cacheevictVerb() *Verb {
	return &Verb{Run: cacheevictJob, Decl: oneWord("CACHEEVICT", "one TAG", "cacheevict",
		"Forget remembered results and values: all, jobs, parents, query, args, envs or a fingerprint.")}
}

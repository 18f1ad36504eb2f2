package conformance

// taskCore are the cases of Task-Core's services, inventories and roles.
func taskCore() []conformanceCase {
	return []conformanceCase{
		{"1", "one service requires what another provides", "K", "in that order, whatever the files are called", "", ""},
		{"2", "a symbol that nothing provides", "KB", "refused before any task, but not by --noop", "refused by plan too, with the place and what is nearest", "a plan that cannot run is none"},
		{"3", "a symbol of a service that no host has", "KB", "refused", "refused, naming the service", "the reason is in the message"},
		{"4", "needed-by", "K", "comes before whoever provides the symbol", "", ""},
		{"5", "needed-by of a service that no host has", "B", "the whole flow is refused", "it is left out", "a service that is not used is in nobody's way"},
		{"6", "needed-by of a symbol that nothing provides", "KB", "runs silently", "runs, with a warning", "a mistyped symbol shows"},
		{"7", "two services that provide the same", "KB", "accepted or refused by the order of the directory", "always the same error, naming both; a service without hosts does not count", "the same files give the same outcome"},
		{"8", "a cycle", "KB", "an error", "an error that lists the way around", "it can be found"},
		{"9", "a task that requires what it provides", "K", "an error", "", ""},
		{"10", "a task that provides two symbols", "B", "only the first can be required", "each can be required", "provides is a list"},
		{"11", "a task id twice in a service", "K", "an error", "", ""},
		{"12", "a service id in two files", "B", "the later file replaces the other", "an error that names both", "no service is lost"},
		{"13", "a local command that fails, and one with return codes", "B", "its failure is ignored", "what depends on it is skipped and the run fails; listed return codes are successes", "a failure is one"},
		{"14", "two chains, the first link of one fails", "KB", "everything stops", "the other chain goes on to its end; --fail-fast stops it", "what does not depend on a failure is not hurt by it"},
		{"15", "a role that lists an unknown service", "K", "refused; accepted where no host has the role", "", ""},
		{"16", "a host's name with capitals", "KB", "refused", "refused, with the path to the field", "it can be found"},
		{"17", "a version that YAML reads as a number", "B", "refused", "accepted", "1.0 is a version"},
		{"18", "two hosts of a role, and --run-once", "K", "prints once, runs on both in the order of the inventory, once on the first", "", ""},
		{"19", "a task whose second of three jobs fails", "K", "the task fails, its dependents do not start", "", ""},
		{"20", "other YAML below the services", "B", "an error for .yaml, silence for .yml", "passed over, with a notice", "files to ship may lie there"},
		{"21", "three services that provide a symbol, one of them with hosts", "K", "runs", "", ""},
		{"22", "an options file that was edited between two runs", "B", "the old values, with lists doubled", "the new values, lists as in the file", "a second deployment deploys"},
		{"23", "a thousand services on a thousand hosts", "K", "every task once, in order, in about a minute", "", ""},
	}
}

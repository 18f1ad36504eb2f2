package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Status returns the orchestrator's view of the cluster.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// SubmitPlan records a plan whose blobs are uploaded. Recording one twice is harmless.
func (c *Client) SubmitPlan(ctx context.Context, planID string) (*Plan, error) {
	return post[Plan](ctx, c, "/v1/plans", &PlanSubmit{Schema: Schema, PlanID: planID})
}

// CreateRun starts an execution of a recorded plan. A repeat with the same
// RequestID answers with the run that the first one started.
func (c *Client) CreateRun(ctx context.Context, in RunSubmit) (*Run, error) {
	in.Schema = Schema
	return post[Run](ctx, c, "/v1/runs", &in)
}

// Runs returns up to limit runs without their tasks, newest first; limit 0 is all.
func (c *Client) Runs(ctx context.Context, limit int) ([]Run, error) {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	out, err := get[Runs](ctx, c, "/v1/runs", query)
	if err != nil {
		return nil, err
	}
	return out.Runs, nil
}

// Run returns a run with its tasks. The id is a number or "latest".
func (c *Client) Run(ctx context.Context, id string) (*Run, error) {
	return get[Run](ctx, c, runPath(id, ""), nil)
}

// Analyze returns where the time of a run went, of one of its tasks where task is
// not empty, and of one job of that where job is not nil.
func (c *Client) Analyze(ctx context.Context, id, task string, job *uint32) (*Analysis, error) {
	query := url.Values{}
	if task != "" {
		query.Set("task", task)
	}
	if job != nil {
		query.Set("job", strconv.FormatUint(uint64(*job), 10))
	}
	return get[Analysis](ctx, c, runPath(id, "/analysis"), query)
}

// CancelRun asks for the end of a run. What is under way is told to stop.
func (c *Client) CancelRun(ctx context.Context, id string, in Cancel) (*Run, error) {
	in.Schema = Schema
	return post[Run](ctx, c, runPath(id, "/cancel"), &in)
}

// Resolve decides on a step whose outcome is unknown.
func (c *Client) Resolve(ctx context.Context, id string, in Resolve) (*Run, error) {
	in.Schema = Schema
	return post[Run](ctx, c, runPath(id, "/resolve"), &in)
}

// Agents returns the agents by name.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	out, err := get[Agents](ctx, c, "/v1/agents", nil)
	if err != nil {
		return nil, err
	}
	return out.Agents, nil
}

// Relays lists the relays of sites, as agents of that kind.
func (c *Client) Relays(ctx context.Context) ([]Agent, error) {
	out, err := get[Agents](ctx, c, "/v1/agents", url.Values{"kind": {"relay"}})
	if err != nil {
		return nil, err
	}
	return out.Agents, nil
}

// Agent returns one agent, or relay, by name or id.
func (c *Client) Agent(ctx context.Context, name string) (*Agent, error) {
	return get[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name), nil)
}

// Approve lets a pending agent work.
func (c *Client) Approve(ctx context.Context, name string, in AgentChange) (*Agent, error) {
	in.Schema = Schema
	return post[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/approve", &in)
}

// Revoke ends an agent's right to connect, for ever.
func (c *Client) Revoke(ctx context.Context, name string, in AgentChange) (*Agent, error) {
	in.Schema = Schema
	return post[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/revoke", &in)
}

// CreateToken makes a join token. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, in TokenCreate) (*Token, error) {
	in.Schema = Schema
	return post[Token](ctx, c, "/v1/tokens", &in)
}

func runPath(id, rest string) string { return "/v1/runs/" + url.PathEscape(id) + rest }

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	out := new(T)
	if err := c.call(ctx, http.MethodGet, path, query, nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

func post[T any](ctx context.Context, c *Client, path string, in any) (*T, error) {
	out := new(T)
	if err := c.call(ctx, http.MethodPost, path, nil, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Cluster returns the orchestrators, as the one that answers sees them.
func (c *Client) Cluster(ctx context.Context) (*Cluster, error) {
	return get[Cluster](ctx, c, "/v1/cluster", nil)
}

// RemoveMember ends an orchestrator's part in the cluster, for ever.
func (c *Client) RemoveMember(ctx context.Context, in MemberRemove) (*Cluster, error) {
	in.Schema = Schema
	return post[Cluster](ctx, c, "/v1/cluster/remove", &in)
}

// TransferLead makes another orchestrator lead.
func (c *Client) TransferLead(ctx context.Context, replica uint64) (*Cluster, error) {
	return post[Cluster](ctx, c, "/v1/cluster/transfer", &LeadTransfer{Schema: Schema, Replica: replica})
}

// Backup streams a backup of the cluster, a tar archive that holds the cluster's
// keys. Only local administrators may: the client has to be one of the unix
// socket. The caller closes it.
func (c *Client) Backup(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/cluster/backup"})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

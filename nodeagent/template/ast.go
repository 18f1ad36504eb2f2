package template

import "quorate/internal/pyvalue"

// An expr is an expression; a stmt is a statement or a piece of the template.
type (
	expr interface {
		eval(s *scope) (pyvalue.Value, error)
	}
	stmt interface {
		exec(s *scope) error
	}
)

type (
	constant struct{ value pyvalue.Value }
	name     struct{ id string }
	listExpr struct{ items []expr }
	tuple    struct{ items []expr }
	dictExpr struct{ keys, values []expr }
	condExpr struct {
		test, then, otherwise expr // otherwise may be nil
		line                  int
	}
	boolOp struct {
		and         bool
		left, right expr
	}
	not   struct{ x expr }
	unary struct {
		negative bool
		x        expr
	}
	binary struct {
		op          string
		left, right expr
	}
	concat  struct{ items []expr }
	compare struct {
		first expr
		ops   []string
		rest  []expr
	}
	attribute struct {
		x    expr
		name string
	}
	item struct{ x, key expr }
	// slice is the key of an item; its parts may be nil.
	slice struct{ start, stop, step expr }
	// invocation is a call, a filter or a test; x is what it is applied to.
	invocation struct {
		x            expr
		args         []expr
		names        []string // of the keyword arguments
		values       []expr
		star, dstars expr // *args and **kwargs, or nil
		line         int
	}
	call   struct{ invocation }
	filter struct {
		invocation
		name string
	}
	test struct {
		invocation
		name   string
		negate bool
	}
)

// target is what for, set and with assign to: a name, an attribute of a
// namespace, or a tuple of targets.
type target struct {
	name, attr string
	parts      []target
}

type (
	data   struct{ text string }
	output struct {
		x    expr
		line int
	}
	ifStmt struct {
		test      expr
		body      []stmt
		otherwise []stmt
		line      int
	}
	forStmt struct {
		target    target
		iter      expr
		test      expr // or nil
		body      []stmt
		otherwise []stmt
		recursive bool
		line      int
	}
	setStmt struct {
		target target
		x      expr
		line   int
	}
	setBlock struct {
		target target
		filter expr // applied to a captured{} placeholder, or nil
		body   []stmt
		line   int
	}
	macroStmt struct{ macro *macro }
	callBlock struct {
		call   *call
		caller *macro
		line   int
	}
	filterBlock struct {
		filter expr
		body   []stmt
		line   int
	}
	withStmt struct {
		targets []target
		values  []expr
		body    []stmt
		line    int
	}
	scoped struct { // block and autoescape
		body   []stmt
		escape expr // of autoescape; nil of block
		line   int
	}
)

// captured stands for the text of a block that a filter is applied to.
type captured struct{}

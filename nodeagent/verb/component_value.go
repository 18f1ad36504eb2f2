package verb

import (
	"bytes"
	"encoding/json"
	"errors"

	"quorate/internal/pyvalue"
)

// factDepthMax bounds how deep the value of a fact may be nested.
const factDepthMax = 64

var errDeep = errors.New("it is nested too deep")

// fromJSON reads a JSON value; mappings keep their order.
func fromJSON(text []byte) (pyvalue.Value, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return jsonValue(dec, 0)
}

func jsonValue(dec *json.Decoder, depth int) (pyvalue.Value, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > factDepthMax {
		return nil, errDeep
	}
	switch token := token.(type) {
	case bool:
		return pyvalue.Bool(token), nil
	case string:
		return pyvalue.Str(token), nil
	case json.Number:
		return pyvalue.Literal(token.String()) // Python writes numbers as JSON does
	case json.Delim:
		if token == '{' {
			return jsonDict(dec, depth)
		}
		return jsonList(dec, depth)
	}
	return pyvalue.None, nil
}

func jsonList(dec *json.Decoder, depth int) (pyvalue.Value, error) {
	list := pyvalue.NewList()
	for dec.More() {
		item, err := jsonValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, item)
	}
	_, err := dec.Token() // the closing bracket
	return list, err
}

func jsonDict(dec *json.Decoder, depth int) (pyvalue.Value, error) {
	dict := pyvalue.NewDict()
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := jsonValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // the decoder lets nothing else be a key
		dict.SetStr(name, value)
	}
	_, err := dec.Token() // the closing brace
	return dict, err
}

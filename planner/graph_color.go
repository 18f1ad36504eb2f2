package planner

import (
	"fmt"
	"math"
	"slices"
)

// graphColor is the look of one service in a drawing.
type graphColor struct {
	fill, stroke, accent string // "#rrggbb"
}

// serviceNames returns the services of the plan, sorted.
func (p *Plan) serviceNames() []string {
	var names []string
	for i := range p.Tasks {
		names = append(names, p.Tasks[i].Service)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// serviceColors gives every service a hue of its own. Stepping the hue by the
// golden angle keeps neighbours in the alphabet apart, however many there are.
func (p *Plan) serviceColors() map[string]graphColor {
	const goldenAngle = 137.508
	colors := map[string]graphColor{}
	for i, name := range p.serviceNames() {
		hue := math.Mod(212+float64(i)*goldenAngle, 360)
		colors[name] = graphColor{
			fill:   hexColor(hue, 0.65, 0.955),
			stroke: hexColor(hue, 0.38, 0.68),
			accent: hexColor(hue, 0.55, 0.47),
		}
	}
	return colors
}

// hexColor turns hue (degrees), saturation and lightness (0 to 1) into "#rrggbb".
func hexColor(hue, saturation, lightness float64) string {
	chroma := saturation * min(lightness, 1-lightness)
	channel := func(n float64) int {
		k := math.Mod(n+hue/30, 12)
		return int(math.Round(255 * (lightness - chroma*max(-1, min(k-3, 9-k, 1)))))
	}
	return fmt.Sprintf("#%02x%02x%02x", channel(0), channel(8), channel(4))
}

// Package acceptance holds tests of the whole product by what it exists for: the
// services of a real deployment, files as large as images, and a network on which
// others speak too. Real processes take part; nothing here knows of their insides.
//
// Inputs that are not this project's are read from where they lie, and the tests that
// need them skip where they are not there.
package acceptance

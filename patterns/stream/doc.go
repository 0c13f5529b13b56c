// Package stream
package stream

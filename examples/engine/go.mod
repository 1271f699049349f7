module example.com/engine

go 1.26.0

require github.com/orbit-persistence/orbit v0.0.0

replace github.com/orbit-persistence/orbit => ../..

module github.com/tus/tusd

go 1.26.0

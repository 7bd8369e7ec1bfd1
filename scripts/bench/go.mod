module berth/bench

go 1.26.0

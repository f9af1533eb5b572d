// SPDX-License-Identifier: Apache-2.0
// bench/google.cc - the shim over Google Benchmark, the only C++ in the tree.
#include <benchmark/benchmark.h>

#include "bench.h"

namespace {

// The table is bench.c's; files asked for with --benchmark_out are written all the same.
class Quiet : public benchmark::BenchmarkReporter {
  public:
    bool ReportContext(const Context &) override {
        return true;
    }
    void ReportRuns(const std::vector<Run> &) override {
    }
};

void run(benchmark::State &state, bench_case *c) {
    bench_begin(c);
    while (state.KeepRunning()) {
        state.SetIterationTime(bench_repetition(c));
    }
    bench_end(c);
    for (size_t i = 0; i < c->contender_count; i++) {
        state.counters[c->contenders[i].name] = bench_gigabytes_per_second(c, i) * 1e9;
    }
}

} // namespace

int bench_google(int argc, char **argv, bench_case *cases, size_t case_count) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    for (size_t i = 0; i < case_count; i++) {
        benchmark::RegisterBenchmark(cases[i].name, run, &cases[i])->UseManualTime();
    }
    Quiet quiet;
    benchmark::RunSpecifiedBenchmarks(&quiet);
    benchmark::Shutdown();
    return 0;
}

"""Many runs: launching commands side by side, and the suites of benchmark cells."""

# The verbs of this repository. Each installs what it needs first.
.PHONY: install demo test check check-full audit lock mlflow clean

WORKSPACE ?= workspace
# Two processes of one thread each rather than one of two.
ALONE = OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1
WORKERS = -n 2 --dist loadfile --no-loadscope-reorder

install: .venv/.installed

.venv/.installed: requirements-dev.lock pyproject.toml scripts/install
	@scripts/install

demo: install
	@.venv/bin/lifecycle demo --workspace $(WORKSPACE)

test: install
	@$(ALONE) .venv/bin/pytest -m "not full" $(WORKERS)

check: install
	@scripts/check

check-full: install
	@.venv/bin/pytest
	@.venv/bin/python benchmarks/snapshots.py
	@.venv/bin/python benchmarks/snapshots.py --grow
	@.venv/bin/python benchmarks/materialise.py
	@.venv/bin/python benchmarks/reads.py
	@.venv/bin/python benchmarks/retrieval.py
	@.venv/bin/python benchmarks/btyd.py
	@.venv/bin/python benchmarks/reasons.py
	@.venv/bin/python benchmarks/tuning.py
	@.venv/bin/python benchmarks/training_memory.py
	@.venv/bin/python benchmarks/batch.py --customers 100000
	@.venv/bin/python benchmarks/backtest.py
	@.venv/bin/python benchmarks/watch.py --seeds 1 --churn-customers 5000
	@.venv/bin/python -m benchmarks.faults
	@.venv/bin/python -m benchmarks.soak

# Known holes of the locked versions, where there is internet to ask.
audit: install
	@scripts/audit

lock:
	@scripts/lock

mlflow: install
	@mlflow/serve $(WORKSPACE)

clean:
	rm -rf .venv .uv build dist

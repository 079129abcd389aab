# Everything one does with the code. `just` is the wheel rust-just: `uv run just`.

default:
    @just --list

# What must be green before a commit.
check: static test

# The gates that run nothing: style, types, imports, contracts, documents.
static: && docs
    uv run ruff check
    uv run ruff format --check
    uv run mypy
    uv run lint-imports
    uv run hadolint deploy/Dockerfile
    uv run check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
    if docker compose version >/dev/null 2>&1; then docker compose config --quiet; fi
    uv run python -m contracts.schemas check
    uv run python -m contracts.samples check
    uv run python -m contracts.published check

# The event catalogue is what runs, and valid AsyncAPI. Installs the parser (npm) where it is missing.
docs:
    uv run python -m regulars.asyncapi check
    cd docs/asyncapi && (cmp -s package-lock.json node_modules/.installed || (npm ci --loglevel=error && cp package-lock.json node_modules/.installed))
    node docs/asyncapi/check.mjs gateway/src/gateway/asyncapi.json

test *args:
    uv run pytest {{args}}

# Put style right and write what is generated.
fix:
    uv run ruff check --fix
    uv run ruff format
    uv run python -m contracts.schemas write
    uv run python -m contracts.samples write
    uv run python -m regulars.asyncapi write

# What is new in the contracts is as it shall be for ever: publish it. Refuses what breaks a reader.
publish:
    uv run python -m contracts.samples check
    uv run python -m contracts.published write

bench *args:
    uv run regulars bench {{args}}

# That the bench still finds every figure, in a minute and a half. Apart from `test`: it measures, and proves no promise.
bench-check:
    uv run pytest -m bench --timeout 200 tests/local/test_bench.py

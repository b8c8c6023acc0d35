# SPDX-License-Identifier: GPL-2.0-or-later
#
# For programs that read this file: a signal that ends them ends what they run, too, with all that it has started.
# prepare() runs tests/prepare in this way. May touch: what tests/prepare says.

# Passes a signal on to the job, if there is one, and ends when that has cleaned up.
end_with_job() {
        kill "-$1" -- "-${!-}" 2>/dev/null || true
        wait "${!-}" 2>/dev/null || true
        exit "$((128 + $(kill -l "$1")))"
}

# Runs a command; 1 when it fails.
run_as_job() {
        local status=0

        trap 'end_with_job HUP' HUP
        trap 'end_with_job INT' INT
        trap 'end_with_job TERM' TERM
        # A process group of its own, which hears signals as a whole. Without job control, bash has what runs beside it ignore
        # SIGINT.
        set -m
        "$@" </dev/null &
        set +m
        wait "$!" || status=1
        trap - HUP INT TERM
        return "$status"
}

prepare() {
        run_as_job "$1/tests/prepare"
}

# SPDX-License-Identifier: GPL-2.0-or-later
#
# What tests/run, tests/demo and tests/bench begin with, which read this file: prepare() runs tests/prepare so that a signal
# ends that, too, with all that it has started. May touch: what tests/prepare says.

prepare() {
        local job

        # A process group of its own, which hears signals as a whole. Without job control, bash has what runs beside it ignore
        # SIGINT.
        set -m
        "$1/tests/prepare" </dev/null &
        job=$!
        set +m
        trap 'kill -HUP -- "-$job"; wait "$job"; exit 129' HUP
        trap 'kill -INT -- "-$job"; wait "$job"; exit 130' INT
        trap 'kill -TERM -- "-$job"; wait "$job"; exit 143' TERM
        wait "$job" || return 1
        trap - HUP INT TERM
}

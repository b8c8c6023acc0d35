/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The lines that "underpassctl check" prints: what is good and what is wrong. A line that says what is wrong
 * names the command that repairs it, where there is one.
 */

#include "base/util.h"

typedef enum CheckResult {
        CHECK_GOOD,
        CHECK_BAD,    /* something does not work */
        CHECK_NOTE,   /* cannot be said yet, or worth knowing */
        _CHECK_RESULT_MAX,
} CheckResult;

/* "good", "bad", "note". Names are API: JSON. */
const char *check_lines_result_name(CheckResult result);

typedef struct CheckLine {
        const char *id;    /* "mptcp", "program" …: the row of the table; API */
        CheckResult result;
        char *sentence;    /* translated */
        char *command;     /* for a shell, as root; NULL: none repairs it */
} CheckLine;

/* Grows by one line; error is -ENOMEM once one was lost. */
typedef struct CheckLines {
        CheckLine *lines;
        size_t count;
        const char *id;    /* of the check that runs */
        int error;
} CheckLines;

void check_lines_done(CheckLines *lines);

/* Adds a line of the check that runs. command is taken, NULL: there is none. */
void check_lines_add(CheckLines *lines, CheckResult result, char *command, const char *format, ...)
        _printf_(4, 5);

/* The first line that says what is wrong, or NULL. */
const CheckLine *check_lines_first_bad(const CheckLines *lines);

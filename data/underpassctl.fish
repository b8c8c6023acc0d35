# SPDX-License-Identifier: GPL-2.0-or-later
#
# Completion of underpassctl for fish. The command itself says what may follow: see `underpassctl --complete`.

function __underpassctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (underpassctl --complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case \tfiles
                __fish_complete_path $current
            case \thosts
                __fish_print_hostnames
            case '*'
                printf '%s\n' $line
        end
    end
end

complete -c underpassctl -f -a '(__underpassctl_complete)'

# Completes targets behind `snakemake`: rules, figures, and the cells of the study of --configfile.
#
#   source workflow/completion.bash
#
# In zsh run `autoload -U compinit bashcompinit && compinit && bashcompinit` first. The `python` of
# the environment must be active. It takes about a second.

_sagsae_targets() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} config="" i
    COMPREPLY=()
    if [[ $word == -* || $word == = || $before == --configfile || $before == = ]]; then
        return # options and files are the shell's own business
    fi
    for ((i = 1; i < ${#COMP_WORDS[@]}; i++)); do
        if [[ ${COMP_WORDS[i]} == --configfile ]]; then
            config=${COMP_WORDS[i + 1]}
            [[ $config != = ]] || config=${COMP_WORDS[i + 2]} # bash takes "=" for a word
        fi
    done
    COMPREPLY=($(compgen -W "$(python -m pipeline targets ${config:+--configfile "$config"} 2>/dev/null)" -- "$word"))
}

complete -o default -F _sagsae_targets snakemake

/** The completion for bash, from 4.2 on; pure. */
import { commandPatterns, quoted, type Value, valueCases, type Word, type Words } from './words.ts'

const listed = (words: readonly Word[]): string => words.map(({ word }) => word).join(' ')

export function bashCompletion(words: Words): string {
  const at = words.places.map((place) => {
    const commands =
      place.commands.length > 0 ? [`_agent_anchor_words ${quoted(listed(place.commands))}`] : []
    const offers = [...commands, ...place.arguments.map(offer)]
    return `    ${quoted(place.path)})
      options=${quoted(listed(place.options))}
      ${offers.length > 0 ? `[[ $cur == -* ]] || { ${offers.join('; ')}; }` : ':'} ;;`
  })
  return `# bash completion of agent-anchor; made by \`agent-anchor completion bash\`

_agent_anchor_words() {
  local IFS=$' \\n'
  COMPREPLY+=($(compgen -W "$1" -- "$cur"))
}

_agent_anchor_paths() {
  local path
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$cur")
}

_agent_anchor() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} at= options= i
  COMPREPLY=()
  # The command that was typed so far, options and arguments left out.
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
    ${commandPatterns(words).join(' | ')}) at="$at \${COMP_WORDS[i]}" ;;
    esac
  done
  at=\${at# }
  case "$at:$prev" in
${valueCases(words, offer).join('\n')}
  esac
  case "$at" in
${at.join('\n')}
  esac
  [[ $cur == -* ]] && _agent_anchor_words "$options ${listed(words.anywhere)}"
  return 0
}

complete -F _agent_anchor agent-anchor
`
}

function offer(value: Value | undefined): string {
  if (value === undefined || value.of === 'unknown') return ':'
  if (value.of === 'files') return '_agent_anchor_paths -f'
  if (value.of === 'directories') return '_agent_anchor_paths -d'
  return `_agent_anchor_words ${quoted(value.of.join(' '))}`
}

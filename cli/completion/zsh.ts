/** The completion for zsh, as a file of its function path; pure. */
import { commandPatterns, quoted, type Value, valueCases, type Word, type Words } from './words.ts'

export function zshCompletion(words: Words): string {
  const at = words.places.map(
    (place) => `    ${quoted(place.path)})
      commands=(${place.commands.map(described).join(' ')})
      options=(${place.options.map(described).join(' ')})
      ${place.arguments.map(offer).join('; ') || ':'} ;;`,
  )
  return `#compdef agent-anchor
# zsh completion of agent-anchor; made by \`agent-anchor completion zsh\`

local at= i
local -a commands options
# The command that was typed so far, options and arguments left out.
for ((i = 2; i < CURRENT; i++)); do
  case "$at \${words[i]}" in
    ${commandPatterns(words).join(' | ')}) at="$at \${words[i]}" ;;
  esac
done
at=\${at# }
case "$at:\${words[CURRENT - 1]}" in
${valueCases(words, offer).join('\n')}
esac
case "$at" in
${at.join('\n')}
esac
options+=(${words.anywhere.map(described).join(' ')})
(( $#commands )) && _describe -t commands command commands
[[ $PREFIX == -* ]] && _describe -o -t options option options
return 0
`
}

/** A colon parts word and description. */
const described = ({ word, description }: Word): string =>
  quoted(`${word.replaceAll(':', '\\:')}:${description}`)

function offer(value: Value | undefined): string {
  if (value === undefined || value.of === 'unknown') return ':'
  if (value.of === 'files') return '_files'
  if (value.of === 'directories') return '_files -/'
  return `compadd -- ${value.of.map((word) => quoted(word)).join(' ')}`
}

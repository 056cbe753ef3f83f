/** The completion for fish, from 3.0 on; pure. */
import { commandPatterns, type OptionWord, type Value, type Words } from './words.ts'

/** In single quotes, where fish alone takes a backslash for an escape. */
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

export function fishCompletion(words: Words): string {
  const lines = [
    ...words.places.flatMap((place) => {
      const at = `complete -c agent-anchor -n ${quoted(`__agent_anchor_at ${quoted(place.path)}`)}`
      return [
        ...place.commands.map(
          ({ word, description }) => `${at} -a ${quoted(word)} -d ${quoted(description)}`,
        ),
        ...place.options.map((option) => `${at} ${optionText(option)}`),
        ...place.arguments.map((value) => `${at}${offer(value)}`),
      ]
    }),
    ...words.anywhere.map((option) => `complete -c agent-anchor ${optionText(option)}`),
  ]
  return `# fish completion of agent-anchor; made by \`agent-anchor completion fish\`

# The command that was typed so far, options and arguments left out.
function __agent_anchor_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case ${commandPatterns(words, quoted).join(' ')}
                set at "$at $word"
        end
    end
    test "$at" = "$argv" -o "$at" = " $argv"
end

complete -c agent-anchor -f
${lines.join('\n')}
`
}

function optionText({ word, description, value, valueWanted }: OptionWord): string {
  const name = word.startsWith('--') ? `-l ${quoted(word.slice(2))}` : `-s ${quoted(word.slice(1))}`
  return `${name}${valueWanted ? ` -r${offer(value)}` : ''} -d ${quoted(description)}`
}

function offer(value: Value | undefined): string {
  if (value === undefined || value.of === 'unknown') return ' -f'
  if (value.of === 'files') return ' -F'
  if (value.of === 'directories') return ` -f -a ${quoted('(__fish_complete_directories)')}`
  return ` -f -a ${quoted(value.of.join(' '))}`
}

import t from 'tap'
import { printable, printableJson, table } from '../../cli/terminal.ts'

t.test('captured text cannot steer the terminal', async (t) => {
  t.equal(printable('a\u001b[2Jb\nc\u202ed'), 'a\ufffd[2Jb\ufffdc\ufffdd')
  t.equal(printable('gpt-4o – ünïcode'), 'gpt-4o – ünïcode')
})

t.test('nor can JSON, which means the same as before', async (t) => {
  const value = { name: '\u001b[2J\u007f\u009b\u202e\u2028', text: 'ünïcode \\u0041' }
  const json = printableJson(JSON.stringify(value))
  t.same(JSON.parse(json), value)
  t.equal(json, '{"name":"\\u001b[2J\\u007f\\u009b\\u202e\\u2028","text":"ünïcode \\\\u0041"}')
})

t.test('columns line up and no line ends in spaces', async (t) => {
  t.equal(
    table([
      ['id', 'model', 'x'],
      ['1', 'm\n', ''],
    ]),
    'id  model  x\n1   m\ufffd',
  )
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clientEnvironment, parsePamEnvironment } from '../lab/client-environment.ts'

t.test('reads /etc/environment as pam_env does', async (t) => {
  const text = [
    '# a comment',
    'PLAIN=/etc/ssl/certs/ca.crt',
    '  \texport EXPORTED=yes  ',
    'DOUBLE="with spaces"',
    "SINGLE='single'",
    'INNER="a"b"',
    'CUT=before#after',
    'EMPTY=',
    'not a variable',
    'BAD-NAME=1',
    'LATER=1',
    'LATER=2',
  ].join('\n')
  t.same(parsePamEnvironment(text), {
    PLAIN: '/etc/ssl/certs/ca.crt',
    EXPORTED: 'yes',
    DOUBLE: 'with spaces',
    SINGLE: 'single',
    INNER: 'a"b',
    CUT: 'before',
    EMPTY: '',
    LATER: '2',
  })
})

t.test('gives a login nothing but the machine-wide variables and its own', async (t) => {
  const file = join(t.testdir({}), 'environment')
  writeFileSync(file, 'NODE_EXTRA_CA_CERTS=/ca.crt\nHOME=/elsewhere\n')
  const user = { name: 'agent1', uid: 4001, gid: 4001, home: '/home/agent1' }
  const environment = clientEnvironment(user, file)
  t.same(Object.keys(environment).sort(), ['HOME', 'LANG', 'LOGNAME', 'NODE_EXTRA_CA_CERTS', 'PATH', 'USER'])
  t.equal(environment.HOME, '/home/agent1', 'login sets the home last')
  t.equal(environment.NODE_EXTRA_CA_CERTS, '/ca.crt')
})

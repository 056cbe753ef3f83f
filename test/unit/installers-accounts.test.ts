import { join } from 'node:path'
import t from 'tap'
import { type AccountTools, makeAccounts, removeAccount } from '../../installers/accounts.ts'
import { openManifest } from '../../installers/manifest.ts'
import { scratch } from './scratch.ts'

const NAMES = ['agent-anchor', 'agent-anchor-proxy', 'agent-anchor-sensor']

/** A system with these programs, whose account database is two sets; it records what is run. */
function system(programs: readonly string[], { keepsGroup = false } = {}) {
  const users = new Set<string>()
  const groups = new Set<string>()
  const ran: string[] = []
  const tools: AccountTools = {
    has: (program) => programs.includes(program),
    async run(command, ...args) {
      const name = args.at(-1)!
      if (command === 'getent') {
        if (!(args[0] === 'passwd' ? users : groups).has(name)) throw new Error('not there')
        return ''
      }
      ran.push([command, ...args].join(' '))
      if (['useradd', 'adduser'].includes(command)) users.add(name)
      if (['useradd', 'addgroup'].includes(command)) groups.add(name)
      if (['userdel', 'deluser'].includes(command)) users.delete(name)
      if (command === 'userdel' && !keepsGroup) groups.delete(name)
      if (['groupdel', 'delgroup'].includes(command)) groups.delete(name)
      return ''
    },
  }
  return { users, groups, ran, tools }
}

const manifest = () => openManifest(join(scratch(), 'manifest'))

t.test("shadow's tools make accounts without home and shell, and take them back", async (t) => {
  const { tools, users, groups, ran } = system(['useradd', 'userdel', 'groupdel'])
  const recorded = await manifest()
  await makeAccounts(recorded, tools)
  t.same([...users], NAMES)
  t.same(
    recorded.steps,
    NAMES.map((name) => ({ kind: 'account', name })),
  )
  t.match(
    ran[0],
    /^useradd --system --user-group --no-create-home --home-dir \/nonexistent --shell \S+nologin agent-anchor$/,
  )
  for (const name of NAMES) await removeAccount(name, tools)
  t.equal(users.size + groups.size, 0)
  t.notOk(ran.some((line) => line.startsWith('groupdel')))
})

t.test('a group that userdel leaves goes too', async (t) => {
  const { tools, groups } = system(['useradd', 'userdel', 'groupdel'], { keepsGroup: true })
  await makeAccounts(await manifest(), tools)
  for (const name of NAMES) await removeAccount(name, tools)
  t.equal(groups.size, 0)
})

t.test("BusyBox's tools do the same", async (t) => {
  const { tools, users, groups, ran } = system(['adduser', 'addgroup', 'deluser', 'delgroup'])
  await makeAccounts(await manifest(), tools)
  t.same([...users], NAMES)
  t.same(ran.slice(0, 1), ['addgroup -S agent-anchor'])
  t.match(ran[1], /^adduser -S -D -H -h \/nonexistent -s \S+nologin -G agent-anchor agent-anchor$/)
  for (const name of NAMES) await removeAccount(name, tools)
  t.equal(users.size + groups.size, 0)
})

t.test('an account that is there is neither made nor recorded', async (t) => {
  const { tools, users, ran } = system(['useradd'])
  for (const name of NAMES) users.add(name)
  const recorded = await manifest()
  await makeAccounts(recorded, tools)
  t.same(ran, [])
  t.same(recorded.steps, [])
})

t.test('where neither is there it says so', async (t) => {
  await t.rejects(makeAccounts(await manifest(), system([]).tools), { code: 'NO_ACCOUNT_TOOL' })
})

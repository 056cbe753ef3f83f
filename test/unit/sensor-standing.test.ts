import t from 'tap'
import { type Governed, standingOf } from '../../daemon/sensor/standing.ts'

const NOBODY = { uids: [], gids: [], cgroups: [] }
const inside = (id: bigint, path: string) => id === 5n && path === 'spared.slice'
const of = (maker: Parameters<typeof standingOf>[0], governed: Partial<Governed>) =>
  standingOf(maker, { subjects: 'everyone', exempt: NOBODY, ...governed }, inside)

t.test('everybody is governed but who is exempt by user, group or control group', async (t) => {
  const exempt = { uids: [7], gids: [70], cgroups: ['spared.slice'] }
  t.equal(of({ uid: 7 }, { exempt }), 'free')
  t.equal(of({ uid: 1, cgroup: 5n }, { exempt }), 'free')
  t.equal(of({ uid: 1, cgroup: 6n }, { exempt }), 'group', 'only the group can say so')
  t.equal(of({ uid: 1, gid: 70 }, { exempt }), 'free')
  t.equal(of({ uid: 1, gid: 71, cgroup: 6n }, { exempt }), 'governed')
  t.equal(of({ uid: 0 }, {}), 'governed', 'nobody has to be asked where no group is exempt')
})

t.test('with subjects by name nobody else is governed, and an exempt subject neither', async (t) => {
  const subjects = { uids: [1], gids: [10], cgroups: [] }
  t.equal(of({ uid: 1 }, { subjects }), 'governed')
  t.equal(of({ uid: 2 }, { subjects }), 'group')
  t.equal(of({ uid: 2, gid: 10 }, { subjects }), 'governed')
  t.equal(of({ uid: 2, gid: 11 }, { subjects }), 'free')
  t.equal(of({ uid: 2 }, { subjects: { ...subjects, gids: [] } }), 'free')
  t.equal(of({ uid: 1 }, { subjects, exempt: { ...NOBODY, uids: [1] } }), 'free')
  t.equal(of({ uid: 1 }, { subjects, exempt: { ...NOBODY, gids: [10] } }), 'group')
})

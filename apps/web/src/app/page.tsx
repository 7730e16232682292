import { observe, observeOptions } from '../cluster/observe.ts';
import { LiveOverview } from '../components/live-overview.tsx';

export const dynamic = 'force-dynamic';

export default async function Page() {
  return <LiveOverview initial={await observe(observeOptions(process.env))} />;
}

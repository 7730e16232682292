import { observe, observeOptions } from '../../../cluster/observe.ts';

export const dynamic = 'force-dynamic';

export async function GET(): Promise<Response> {
  return Response.json(await observe(observeOptions(process.env)), { headers: { 'cache-control': 'no-store' } });
}

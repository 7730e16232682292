/** An action as the command that does it. */
import type { Action, Advice } from '@rmr/cluster-view';

/** `rmrctl member replace web 2 --disk storage-2/ssd`. What the person has to choose stands in capitals. */
export function commandOf(action: Action): string {
  return `rmrctl ${wordsOf(action)}`;
}

function wordsOf(action: Action): string {
  switch (action.do) {
    case 'status':
      return 'status';
    case 'volume-list':
      return 'volume list';
    case 'volume-show':
      return `volume show ${action.volume}`;
    case 'volume-map':
      return `volume map ${action.volume}`;
    case 'volume-force':
      return `volume force ${action.volume}`;
    case 'volume-takeover':
      return `volume takeover ${action.volume}${action.evenIfConnected ? ' --even-if-connected' : ''}`;
    case 'volume-unmap':
      return `volume unmap ${action.volume}${action.client === undefined ? '' : ` --client ${action.client}`}${action.evenIfConnected ? ' --even-if-connected' : ''}`;
    case 'volume-delete':
      return `volume delete ${action.volume}${action.evenIfConnected ? ' --even-if-connected' : ''}`;
    case 'member-replace':
      return `member replace ${action.volume} ${action.memberId} --disk ${action.disk ?? 'NODE/DISK'}`;
    case 'maintenance-off':
      return `member maintenance off ${action.volume} ${action.memberId}`;
    case 'resync-show':
      return `resync show ${action.volume}`;
    case 'resync-resume':
      return `resync resume ${action.volume}`;
    case 'disk-list':
      return 'disk list';
    case 'operation-wait':
      return `operation wait ${action.id}`;
    case 'operation-show':
      return `operation show ${action.id}`;
    case 'operation-list':
      return 'operation list';
  }
}

/** Advice as a line: `Map it first: rmrctl volume map web`. */
export function adviceText(advice: Advice): string {
  return typeof advice === 'string' ? advice : `${advice.sentence} ${commandOf(advice.action)}`;
}

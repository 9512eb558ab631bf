/** The type of output that a document keeps of a workload; alone in its file, so that to know it loads nothing else. */
export const MIME = 'application/vnd.qmode-widgets.workload+json';

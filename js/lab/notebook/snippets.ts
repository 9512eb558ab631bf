/** Code that the panel puts into notebooks. Each runs as it stands: a browser test runs them. */

/** The empty panel's: a batch of two circuits on the embedded service. */
export const BEGIN = `import qmode_widgets as qmode
from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime.executor_sampler import Sampler

service = qmode.emulator.start().service   # or QiskitRuntimeService()
backend = service.least_busy()
bell = QuantumCircuit(2)
bell.h(0), bell.cx(0, 1), bell.measure_all()
pubs = [transpile(bell, backend)] * 4

batch = qmode.BatchController.open(backend)
batch.submit(Sampler(mode=batch.primitive_mode), pubs, partitions=2)
batch`;

/** Above a user's own code: its sessions, batches and jobs show in the panel from then on. */
export const ADOPT = `import qmode_widgets as qmode

# From here on each Session, Batch and job of this kernel shows in the panel "Quantum workloads".
qmode.watch()   # usage_cap=600 caps each of them`;
